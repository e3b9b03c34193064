"""``contentdb rm``: remove blobs."""

from __future__ import annotations

import click

from contentdb.cli.options import digests_argument
from contentdb.cli.session import dry_run_option, each, json_option, open_store, quiet_option
from contentdb.cli.show import json_line, line

__all__ = ["rm"]


@click.command(short_help="Remove blobs.")
@digests_argument
@dry_run_option
@json_option
@quiet_option
@click.pass_context
def rm(
    context: click.Context, digests: tuple[str, ...], dry_run: bool, as_json: bool, quiet: bool
) -> None:
    """Remove each blob, durably, and print its digest."""
    store = open_store(context)

    def remove(prefix: str) -> None:
        digest = store.resolve(prefix)
        if not dry_run:
            store.delete(digest)
        if as_json:
            json_line({"digest": digest, "removed": not dry_run})
        elif not quiet:
            line(f"would remove {digest}" if dry_run else digest)

    each(context, digests, remove)
