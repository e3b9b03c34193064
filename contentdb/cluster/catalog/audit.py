"""Rows of objects in ranges of digests, for upkeep: whatever namespace has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from contentdb.cluster.extents import Place, unpack_runs
from contentdb.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentdb.cluster.sql import Database

__all__ = ["Row", "count_up_to", "pages"]

_COUNT: Final = """
SELECT count(*) FROM (SELECT 1 FROM objects WHERE digest >= %(first)s AND digest < %(behind)s
LIMIT %(most)s) AS found"""
_PAGE: Final = """
SELECT digest, size, damaged, key, runs, octet_length(inline),
    CASE WHEN %(with_bytes)s OR damaged THEN inline END
FROM objects WHERE digest > %(after)s AND digest < %(behind)s ORDER BY digest LIMIT 1000"""


class Row(NamedTuple):
    """What the rows say of a content."""

    digest: Digest
    size: int
    damaged: bool
    place: Place
    """Without the bytes of one that is in its row."""
    inline_size: int | None
    """Of the bytes in the row."""
    inline: bytes | None
    """Those bytes, if they were asked for, or are marked as damaged."""


def count_up_to(database: Database, first: str, behind: str, most: int) -> int:
    """Return how many contents have a digest in a range, but no more than ``most``."""
    values = {"first": first, "behind": behind, "most": most}
    return int(database.rows(_COUNT, values)[0][0])


def pages(database: Database, first: str, behind: str, *, with_bytes: bool) -> Iterator[list[Row]]:
    """Yield the rows whose digests are behind ``first`` and before ``behind``, in their order."""
    after = first
    while True:
        values = {"after": after, "behind": behind, "with_bytes": with_bytes}
        found = database.rows(_PAGE, values)
        if not found:
            return
        after = found[-1][0]
        yield [
            Row(
                Digest(digest),
                size,
                damaged,
                Place(inline=b"") if key is None else Place(key, unpack_runs(runs)),
                inline_size,
                inline,
            )
            for digest, size, damaged, key, runs, inline_size, inline in found
        ]
