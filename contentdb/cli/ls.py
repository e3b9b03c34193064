"""``contentdb ls`` and ``contentdb du``: list blobs, and count them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

from contentdb.cli.listing import print_blobs
from contentdb.cli.options import LIMIT, filters_option
from contentdb.cli.session import json_option, open_store, quiet_option
from contentdb.cli.show import info_record, json_line, line, size, table

if TYPE_CHECKING:
    from contentdb.content import SortOrder

__all__ = ["du", "ls"]


@click.command(short_help="List the blobs.")
@filters_option
@click.option(
    "--sort",
    metavar="FIELD",
    default="digest",
    show_default=True,
    help="digest, size, created_at or updated_at; -FIELD descends.",
)
@click.option("--limit", type=LIMIT, help="List at most this many.")
@json_option
@quiet_option
@click.pass_context
def ls(
    context: click.Context,
    filters: tuple[str, ...],
    sort: str,
    limit: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """List the blobs: digest, size, age and labels. -q prints only the digests."""
    found = open_store(context, reads=True).walk(
        *filters, sort=cast("SortOrder", sort), limit=limit
    )
    if as_json:
        for info in found:
            json_line(info_record(info))
        return
    print_blobs(found, quiet=quiet)


@click.command(short_help="Count blobs, ingests and their bytes.")
@json_option
@quiet_option
@click.pass_context
def du(context: click.Context, as_json: bool, quiet: bool) -> None:
    """Count blobs, ingests and their bytes. -q prints only the bytes of the blobs."""
    usage = open_store(context, reads=True).usage()
    if as_json:
        json_line(usage._asdict())
    elif quiet:
        line(str(usage.blob_bytes))
    else:
        rows = (
            ("blobs", str(usage.blobs), size(usage.blob_bytes)),
            ("ingests", str(usage.ingests), size(usage.ingest_bytes)),
        )
        for text in table(("KIND", "COUNT", "SIZE"), rows):
            line(text)
