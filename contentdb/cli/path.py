"""``contentdb path``: print the files of blobs."""

from __future__ import annotations

import os

import click

from contentdb.cli.options import digests_argument
from contentdb.cli.session import digest_of, each, json_option, open_store, quiet_option
from contentdb.cli.show import json_line, write_bytes

__all__ = ["path"]


@click.command(short_help="Print the paths of blobs' files.")
@digests_argument
@json_option
@quiet_option
@click.pass_context
def path(context: click.Context, digests: tuple[str, ...], as_json: bool, quiet: bool) -> None:
    """Print the digest and the read-only file of each blob. -q prints only the file."""
    store = open_store(context, reads=True)

    def show(prefix: str) -> None:
        digest = digest_of(store, prefix)
        found = os.fspath(store.path(digest))
        if as_json:
            json_line({"digest": digest, "path": found})
            return
        text = found if quiet else f"{digest} {found}"
        write_bytes(os.fsencode(text) + b"\n")  # a path need not be valid text

    each(context, digests, show)
