"""``contentdb ls`` and ``contentdb du``: list blobs, and count them."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, cast

import click

from contentdb.cli.options import LIMIT, filters_option
from contentdb.cli.session import json_option, open_store, quiet_option
from contentdb.cli.show import age, info_record, json_line, labels_text, line, size, table

if TYPE_CHECKING:
    from contentdb.content import Info, SortOrder

__all__ = ["du", "ls"]

_PAGE_ROWS = 1000
"""Rows whose columns are aligned together, so that a listing of millions begins at once."""


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
    if quiet:
        for info in found:
            line(info.digest)
        return
    heads: tuple[str, ...] = ("DIGEST", f"{'SIZE':>10}", f"{'AGE':>8}", "LABELS")
    while page := list(islice(found, _PAGE_ROWS)):
        for text in islice(table(heads, map(_row, page)), 0 if heads[0] else 1, None):
            line(text)
        heads = ("", "", "", "")


def _row(info: Info) -> tuple[str, str, str, str]:
    return info.digest, f"{size(info.size):>10}", f"{age(info.created_ns):>8}", labels_text(info)


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
