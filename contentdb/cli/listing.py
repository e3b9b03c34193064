"""The lines that ``ls``, ``info`` and ``active`` print for people."""

from __future__ import annotations

from itertools import islice

from contentdb.cli.show import age, escape, labels_text, line, moment, size, table
from contentdb.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Final

    from contentdb.content import Info, Status

__all__ = [
    "INGEST_HEADS",
    "ingest_row",
    "print_blobs",
    "print_info",
    "print_ingests",
    "print_pages",
]

_PAGE_ROWS: Final = 1000
"""Rows whose columns are aligned together, so that a listing of millions begins at once."""

_BLOB_HEADS: Final = ("DIGEST", f"{'SIZE':>10}", f"{'AGE':>8}", "LABELS")
INGEST_HEADS: Final = ("REF", "OFFSET", "TOTAL", "DONE", "STARTED", "HELD")


def print_pages(
    heads: Sequence[str], rows: Iterator[Sequence[str]], *, even_empty: bool = False
) -> None:
    """Print a table in pages, with its heads over the first; nothing without rows by default."""
    page = list(islice(rows, _PAGE_ROWS))
    if page or even_empty:
        for text in table(heads, page):
            line(text)
    while page := list(islice(rows, _PAGE_ROWS)):
        for text in islice(table(heads, page), 1, None):
            line(text)


def print_info(found: Info, *, quiet: bool) -> None:
    """Print what is known of a blob; only its digest if ``quiet``."""
    line(found.digest)
    if quiet:
        return
    line(f"  size     {size(found.size)} ({found.size} bytes)")
    line(f"  created  {moment(found.created_ns)}, {age(found.created_ns)}")
    line(f"  updated  {moment(found.updated_ns)}, {age(found.updated_ns)}")
    for key, value in sorted(found.labels.items()):
        line(f"  label    {escape(key)}={escape(value)}")


def print_blobs(found: Iterator[Info], *, quiet: bool) -> None:
    """Print a table of blobs, in pages; only the digests if ``quiet``."""
    if quiet:
        for info in found:
            line(info.digest)
        return
    print_pages(_BLOB_HEADS, map(_blob_row, found))


def _blob_row(info: Info) -> tuple[str, str, str, str]:
    return info.digest, f"{size(info.size):>10}", f"{age(info.created_ns):>8}", labels_text(info)


def print_ingests(found: Iterator[Status], *, quiet: bool) -> None:
    """Print a table of ingests, in pages; only the refs if ``quiet``."""
    if quiet:
        for status in found:
            line(escape(status.ref))
        return
    print_pages(INGEST_HEADS, map(ingest_row, found), even_empty=True)


def ingest_row(status: Status) -> tuple[str, ...]:
    """Return the columns of an ingest, as `INGEST_HEADS` names them."""
    done = f"{100 * status.offset // status.total}%" if status.total else "?"
    held = "yes" if status.held else "no"
    ref = escape(status.ref)
    return ref, size(status.offset), size(status.total), done, age(status.started_ns), held
