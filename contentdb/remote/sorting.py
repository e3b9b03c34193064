"""Listings in another order than the server's: sorted in a file, not in memory.

The file is SQLite's own temporary database: private, without a name, and gone with its connection.
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
"""Nanoseconds have up to 68 bits, and an integer of SQLite's 64: so they are cut in two."""
_KEYS: Final[dict[str, Callable[[Info], tuple[str | int, int]]]] = {
    "digest": lambda info: (info.digest, 0),
    "size": lambda info: (info.size, 0),
    "created_at": lambda info: divmod(info.created_ns, _SECOND_NS),
    "updated_at": lambda info: divmod(info.updated_ns, _SECOND_NS),
}


def sorted_infos(infos: Iterator[Info], sort: SortOrder, limit: int | None) -> Generator[Info]:
    """Take all of a listing in, then stream it; equal ones stay in the order in which they came.

    Args:
        infos: The listing. It is exhausted on return.
        sort: Which order.
        limit: How many to give; None for all.

    Raises:
        StoreError: There is no room for the temporary file.
    """
    steps = _steps(infos, sort, limit)
    next(steps)
    return steps  # type: ignore[return-value]  # the one None is behind it


def _steps(infos: Iterator[Info], sort: SortOrder, limit: int | None) -> Generator[Info | None]:
    key = _KEYS[sort.removeprefix("-")]
    way = "DESC" if sort.startswith("-") else "ASC"
    rows = ((*key(info), from_info(info).SerializeToString()) for info in infos)
    database = sqlite3.connect("", check_same_thread=False, isolation_level=None)
    with closing(database):
        with _told():
            database.execute("PRAGMA journal_mode = OFF")  # there is nothing to go back to
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
            with _told():
                row = found.fetchone()
            if row is None:
                return
            yield to_info(wire.Info.FromString(row[0]))


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        reason = f"cannot sort the listing in a temporary file: {error}; see SQLITE_TMPDIR"
        raise StoreError("remote store", reason) from error
