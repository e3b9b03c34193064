"""``contentdb path``: where the bytes are."""

from __future__ import annotations

import os

import click

from contentdb.cli.options import digests_argument
from contentdb.cli.session import each, json_option, open_store, quiet_option
from contentdb.cli.show import json_line, write_bytes

__all__ = ["path"]


@click.command(short_help="Print where the bytes of blobs are.")
@digests_argument
@json_option
@quiet_option
@click.pass_context
def path(context: click.Context, digests: tuple[str, ...], as_json: bool, quiet: bool) -> None:
    """Print the digest and the read-only file of each blob; -q the file alone."""
    store = open_store(context)

    def show(prefix: str) -> None:
        digest = store.resolve(prefix)
        found = os.fspath(store.path(digest))
        if as_json:
            json_line({"digest": digest, "path": found})
            return
        text = found if quiet else f"{digest} {found}"
        write_bytes(os.fsencode(text) + b"\n")  # a path need not be valid text

    each(context, digests, show)
