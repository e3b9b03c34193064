"""A whole stream into an ingest: resume, send on, commit."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

from contentdb.errors import SizeMismatchError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import BinaryIO

    from contentdb.content import Info, Writer

__all__ = ["fill", "pieces"]

_PIECE_BYTES: Final = 4 * 1024 * 1024


def fill(
    writer: Writer,
    source: BinaryIO,
    *,
    total: int | None,
    expected: str | None,
    labels: Mapping[str, str] | None,
) -> Info:
    """Go on from where the writer stands, to the end of the source, and commit.

    Raises:
        SizeMismatchError: The source has fewer or more bytes than ``total``, or fewer than
            were there already. The ingest stays.
    """
    _skip(source, writer.offset)
    limit = None if total is None else total - writer.offset
    for piece in pieces(source, limit):
        writer.write(piece)
    if total is not None and writer.offset < total:
        raise SizeMismatchError(expected=total, actual=writer.offset)
    return writer.commit(size=total, expected=expected, labels=labels)


def pieces(source: BinaryIO, limit: int | None) -> Iterator[bytes]:
    """Read to the end; one byte past the limit is enough to know that there are too many."""
    got = 0
    while piece := source.read(_PIECE_BYTES if limit is None else _wanted(limit - got)):
        got += len(piece)
        if limit is not None and got > limit:
            raise SizeMismatchError(expected=limit, actual=got)
        yield piece


def _wanted(left: int) -> int:
    return min(_PIECE_BYTES, max(0, left) + 1)


def _skip(source: BinaryIO, count: int) -> None:
    """Pass over what the server has already: by a seek where the source can, else by reading."""
    if not count:
        return
    if source.seekable():
        here = source.tell()
        end = source.seek(0, io.SEEK_END)
        source.seek(min(here + count, end))
        skipped = min(count, end - here)
    else:
        skipped = 0
        while skipped < count and (piece := source.read(min(_PIECE_BYTES, count - skipped))):
            skipped += len(piece)
    if skipped < count:
        raise SizeMismatchError(expected=count, actual=skipped)
