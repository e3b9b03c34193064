"""What can be saved of an index that SQLite cannot read to its end."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from contentdb.digest import Digest
from contentdb.errors import IndexDamagedError, IndexFailedError, InvalidDigestError
from contentdb.local.index import statements
from contentdb.local.index.database import connect, refusal
from contentdb.local.index.grace import COLLECTING_SINCE
from contentdb.local.index.policy import begin_bounds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["check_integrity", "fold", "salvage"]

_TABLES: Final = (
    "blobs", "labels", "ingests", "packs", "settings", "tags", "tag_labels",
    "leases", "lease_labels", "lease_items", "policies",
)  # fmt: skip
_DIGESTS: Final = frozenset({"digest", "expected"})
"""Columns that are nothing without a whole digest."""
_OF_THE_MOMENT: Final = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
}


def check_integrity(path: Path) -> None:
    """Let SQLite read all of an index.

    Raises:
        IndexDamagedError: A page or a row is damaged.
        ContentDBError: It cannot be opened now, which need not be damage.
    """
    try:
        with closing(connect(str(path), query_only=True)) as connection:
            (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.Error as error:
        raise refusal(str(path), error) from error
    if verdict != "ok":
        raise IndexDamagedError(str(path), verdict)


def salvage(damaged: Path, new: Path) -> None:
    """Copy the rows that can be read from an index; a damaged page ends the copy of its table.

    Args:
        damaged: The index to copy from.
        new: An index of the newest revision, without rows.

    Raises:
        ContentDBError: The disk is full, or a file cannot be opened now.
    """
    try:
        with (
            closing(connect(str(new))) as to,
            _end_at_damage(),
            closing(connect(str(damaged))) as old,
        ):
            for table in _TABLES:
                _copy_rows(old, to, table)
            # Tags may be lost: the next collection is a first one again, and takes nothing for long
            to.execute(statements.DROP_SETTING, {"name": COLLECTING_SINCE})
            begin_bounds(to)
    except sqlite3.Error as error:
        raise refusal(str(damaged), error) from error


@contextmanager
def _end_at_damage() -> Iterator[None]:
    """End the block at damage; raise errors that say nothing of the file itself."""
    try:
        yield
    except sqlite3.Error as error:
        # errors of the driver itself, as for text that is not UTF-8, have no code
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _OF_THE_MOMENT:
            raise
    except IndexFailedError:  # its journal mode is not WAL
        pass


def _copy_rows(old: sqlite3.Connection, new: sqlite3.Connection, table: str) -> None:
    table_info = f"PRAGMA table_info({table})"
    there = {row[1] for row in _readable_rows(old, table_info)}  # an older revision has fewer
    columns = [row[1] for row in new.execute(table_info) if row[1] in there]
    if not columns:
        return
    places = ", ".join("?" * len(columns))
    names = ", ".join(f'"{column}"' for column in columns)
    new.execute("BEGIN IMMEDIATE")
    of_digests = [place for place, column in enumerate(columns) if column in _DIGESTS]
    for row in _readable_rows(old, f"SELECT {names} FROM {table}"):  # noqa: S608 - our own table names
        if not all(row[place] is None or _is_digest(row[place]) for place in of_digests):
            continue  # half of a page that was torn
        with suppress(sqlite3.IntegrityError):  # damaged rows may contradict each other
            new.execute(f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({places})", row)  # noqa: S608
    new.execute("COMMIT")


def _is_digest(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(Digest(value))
    except InvalidDigestError:
        return False


def _readable_rows(old: sqlite3.Connection, query: str) -> Iterator[tuple[Any, ...]]:
    with _end_at_damage():
        yield from old.execute(query)


def fold(path: Path) -> None:
    """Leave no WAL, so that the file alone is the whole database and may be renamed."""
    try:
        with closing(connect(str(path))) as connection:
            mode = connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
    except sqlite3.Error as error:
        raise refusal(str(path), error) from error
    if mode != "delete":
        raise IndexFailedError(str(path), f"journal mode is {mode}, not delete")
