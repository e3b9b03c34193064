"""Sorts a listing into another order than the server's, in a file and not in memory.

The file is SQLite's temporary database: private, unnamed, and removed when its connection closes.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Final

from contentdb.errors import StoreError
from contentdb.wire import content_pb2 as wire
from contentdb.wire.messages import from_info, to_info

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from contentdb.content import Info, SortOrder

__all__ = ["sorted_infos"]

_SECOND_NS: Final = 1_000_000_000
"""Times in nanoseconds have up to 68 bits and SQLite's integers 64, so two columns hold one."""
_KEYS: Final[dict[str, Callable[[Info], tuple[str | int, int]]]] = {
    "digest": lambda info: (info.digest, 0),
    "size": lambda info: (info.size, 0),
    "created_at": lambda info: divmod(info.created_ns, _SECOND_NS),
    "updated_at": lambda info: divmod(info.updated_ns, _SECOND_NS),
}


def sorted_infos(infos: Iterator[Info], sort: SortOrder, limit: int | None) -> Generator[Info]:
    """Read a whole listing, then stream it sorted; equal records keep the server's order.

    Args:
        infos: The listing. It is exhausted on return.
        sort: Which order.
        limit: How many records to return; None for all.

    Raises:
        StoreError: The temporary file cannot be written, for want of room for example.
    """
    steps = _sort(infos, sort, limit)
    next(steps)
    return steps  # type: ignore[return-value]  # `next` has taken the only None


def _sort(infos: Iterator[Info], sort: SortOrder, limit: int | None) -> Generator[Info | None]:
    key = _KEYS[sort.removeprefix("-")]
    way = "DESC" if sort.startswith("-") else "ASC"
    rows = ((*key(info), from_info(info).SerializeToString()) for info in infos)
    database = sqlite3.connect("", check_same_thread=False, isolation_level=None)
    with closing(database):
        with _translate_errors():
            database.execute("PRAGMA journal_mode = OFF")  # nothing is ever rolled back
            database.execute("CREATE TABLE infos (high, low, packed)")
            database.execute("BEGIN")
            database.executemany("INSERT INTO infos VALUES (?, ?, ?)", rows)
            database.execute(f"CREATE INDEX by_key ON infos (high {way}, low {way})")
            found = database.execute(
                f"SELECT packed FROM infos ORDER BY high {way}, low {way}, rowid LIMIT ?",  # noqa: S608 - one of two words
                (-1 if limit is None else limit,),
            )
        yield None
        while True:
            with _translate_errors():
                row = found.fetchone()
            if row is None:
                return
            yield to_info(wire.Info.FromString(row[0]))


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        reason = f"cannot sort the listing in a temporary file: {error}; see SQLITE_TMPDIR"
        raise StoreError("remote store", reason) from error
