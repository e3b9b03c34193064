"""Checkpoints, which move the WAL into the database: seldom, always under the writers' flock."""

from __future__ import annotations

import os

from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.index import driver as sqlite3
from contentdb.local.index.connect import BUSY_S, WAL_BYTES
from contentdb.logs import swallow

if TYPE_CHECKING:
    from typing import Final

    from contentdb.local.index.wal import WriteAheadLog

__all__ = ["CHECKPOINT_ROWS", "UNFOLDED", "Checkpoints"]

UNFOLDED: Final = "the index's log was not folded in; the next checkpoint tries again"

CHECKPOINT_ROWS: Final = 1000
"""Rows written between two checkpoints: a page or two each, 4 to 8 MiB of WAL."""

_LOOK_ROWS: Final = 50
"""Rows written between two checks of the WAL's size; the first transaction checks it too."""

_WAL_STEP_BYTES: Final = 1 << 20


class Checkpoints:
    """Counts what one process writes, and checkpoints a WAL that has grown large."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.rows = 0
        """Rows that this process has written since its last checkpoint."""
        self.look_at_rows = 0
        """Call `look` from this many rows on, or from `CHECKPOINT_ROWS`."""
        self._large_bytes = WAL_BYTES
        """A WAL longer than that is due for a checkpoint."""

    def look(self, writer: sqlite3.Connection, log: WriteAheadLog) -> None:
        """Checkpoint if it is due.

        It is due by the rows of this process, or by the size of the WAL, where each process ends
        before it has written that many.
        """
        size = self._wal_bytes()
        self.look_at_rows = self.rows + _LOOK_ROWS
        if self.rows >= _LOOK_ROWS:  # a short life is not worth the zeros
            log.lengthen(size, WAL_BYTES)
        if self.rows < CHECKPOINT_ROWS and size <= self._large_bytes:
            return
        self.checkpoint(writer, "RESTART", log)
        self.rows = 0
        self.look_at_rows = _LOOK_ROWS
        # If a reader blocked the checkpoint the WAL goes on growing: not every commit tries again.
        self._large_bytes = max(WAL_BYTES, size + _WAL_STEP_BYTES)

    def checkpoint(self, writer: sqlite3.Connection, mode: str, log: WriteAheadLog) -> None:
        """Move the WAL into the database, without waiting for readers that block it.

        The caller holds the flock, so SQLite always gets the writer's lock. A checkpoint that
        fails loses nothing: the WAL stays, and the next one tries again. But a sync of the log that
        failed here may be told to no other call.
        """
        # In the turn, or another thread's sync might succeed before the failure is noted.
        with log.turn, swallow("local.index", UNFOLDED, sqlite3.Error, path=self._path):
            writer.execute("PRAGMA busy_timeout = 0").fetchall()
            try:
                writer.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
            except sqlite3.Error as error:
                log.note_failure(error)
                raise
        writer.execute(f"PRAGMA busy_timeout = {int(BUSY_S * 1000)}").fetchall()

    def is_overdue(self) -> bool:
        """Return whether the WAL is too long to be left at a close."""
        return self._wal_bytes() > WAL_BYTES

    def _wal_bytes(self) -> int:
        try:
            size = os.path.getsize(f"{self._path}-wal")  # noqa: PTH202 - a path is text here
        except OSError:
            return 0
        if size <= WAL_BYTES:
            self._large_bytes = WAL_BYTES
        return size
