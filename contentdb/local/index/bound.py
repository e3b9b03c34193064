"""The base of all rooms of the index: one database, and the namespace that they are bound to."""

from __future__ import annotations

from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.file_times import is_time_of
from contentdb.local.index import State, statements
from contentdb.local.index.rows import key_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from sqlite3 import Connection
    from typing import Any, Final

    from contentdb.local.index import Blob
    from contentdb.local.index.database import Database

__all__ = ["PACK_BELOW", "Bound"]

PACK_BELOW: Final = "pack_below"
"""The name of a setting: blobs of fewer bytes go into packs."""

_PAGE_ROWS: Final = 250
"""Rows of tombstones or ingests in a page: an ingest may weigh some kilobytes."""


class Bound:
    """A database, and the namespace whose rows the methods see."""

    _database: Database
    _namespace: str

    def _key(self, digest: str) -> dict[str, Any]:
        return key_of(self._namespace, digest)

    def _setting(self, name: str) -> str | None:
        """Return what the table of settings says; None if it does not say."""
        row = self._database.one(statements.FIND_SETTING, {"name": name})
        return None if row is None else str(row[0])

    def _read_paged(self, statement: str) -> Iterator[Any]:
        for rows in self._read_pages(statement):
            yield from rows

    def _read_pages(self, statement: str) -> Iterator[list[Any]]:
        """Yield all rows of a statement, in pages by the text in its first column.

        No snapshot is held: rows may come and go while the caller works, and checkpoints go on.
        """
        values = {"namespace": self._namespace, "after": "", "limit": _PAGE_ROWS}
        while rows := self._database.all(statement, values):
            values["after"] = rows[-1][0]  # before: the caller may clear the list
            yield rows

    def _have_others(self, connection: Connection, key: dict[str, Any]) -> bool:
        """Return whether another namespace has the blob.

        A tombstone does not count, once it is on disk: here it is put there, seldom enough to do
        that under the write lock.
        """
        found = connection.execute(statements.OTHER_NAMESPACE_STATES, key).fetchall()
        states = {state for (state,) in found}
        if State.TOMBSTONE in states:
            self._database.sync()
        return bool(states - {State.TOMBSTONE})

    def _vouches(
        self, connection: Connection, key: dict[str, Any], blob: Blob, found_ns: int | None
    ) -> bool:
        """Return whether the file's time is that of its row, or of another namespace's."""
        if found_ns is None:
            return False
        if is_time_of(found_ns, blob.updated_ns):
            return True
        return (
            connection.execute(statements.VOUCHES, key | {"found": found_ns}).fetchone() is not None
        )
