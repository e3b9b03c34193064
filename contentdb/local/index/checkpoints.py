"""When the WAL is folded into the database: seldom, and always behind the writers' flock."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import Final

from contentdb.local.index.opening import BUSY_S, WAL_BYTES

__all__ = ["CHECKPOINT_ROWS", "Checkpoints"]

CHECKPOINT_ROWS: Final = 1000
"""Rows written between two checkpoints: a page or two each, 4 to 8 MiB of WAL."""

_LOOK_ROWS: Final = 50
"""Rows written between two looks at the size of the WAL; the first transaction looks too."""

_WAL_STEP_BYTES: Final = 1 << 20


class Checkpoints:
    """Counts what one process writes, and folds a WAL in that has grown large."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._rows = 0
        self._look_at_rows = 0
        self._large_bytes = WAL_BYTES
        """A WAL longer than that is due for a checkpoint."""

    def wrote(self, writer: sqlite3.Connection, rows: int) -> None:
        """Checkpoint when that is due.

        By the rows of this process; and by the WAL, where no process lives for so many.
        """
        self._rows += rows
        if self._rows < self._look_at_rows and self._rows < CHECKPOINT_ROWS:
            return
        size = self._wal_bytes()
        self._look_at_rows = self._rows + _LOOK_ROWS
        if self._rows < CHECKPOINT_ROWS and size <= self._large_bytes:
            return
        self.checkpoint(writer, "RESTART")
        self._rows = 0
        self._look_at_rows = _LOOK_ROWS
        # Where a reader was in the way the WAL goes on growing: not every commit tries again.
        self._large_bytes = max(WAL_BYTES, size + _WAL_STEP_BYTES)

    def checkpoint(self, writer: sqlite3.Connection, mode: str) -> None:
        """Move the WAL into the database, without waiting for readers that are in the way.

        The flock is held, so the mode always gets the writer's lock. A checkpoint that fails
        loses nothing: the WAL stays, and the next one tries again.
        """
        with contextlib.suppress(sqlite3.Error):
            writer.execute("PRAGMA busy_timeout = 0").fetchall()
            writer.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
        writer.execute(f"PRAGMA busy_timeout = {int(BUSY_S * 1000)}").fetchall()

    def is_overdue(self) -> bool:
        """Whether the WAL is longer than it should be left."""
        return self._wal_bytes() > WAL_BYTES

    def _wal_bytes(self) -> int:
        try:
            size = os.path.getsize(f"{self._path}-wal")  # noqa: PTH202 - a path is text here
        except OSError:
            return 0
        if size <= WAL_BYTES:
            self._large_bytes = WAL_BYTES
        return size
