"""The index's write-ahead log, which this process syncs itself, after it has let go of the lock.

Inside COMMIT, SQLite would sync the log while all other processes wait for the writers' lock. So
transactions commit with ``synchronous=NORMAL``, which does not sync, and the log is synced through
a descriptor of our own. One sync serves all that was committed before it, by any process. A
descriptor of the log may be opened and closed beside SQLite's, as that file has no fcntl(2) locks
(https://sqlite.org/walformat.html, 2.3.1).

A transaction can be read before it is on disk. So a call that promises something because of a row
that another process may have written syncs the log first: `WriteAheadLog.sync_all`.

A failed sync is told once to each descriptor, and later syncs succeed over the hole that it leaves:
what is committed behind the hole is lost with it. So the log is marked, by a file beside it, until
a process has written its bytes again: `WriteAheadLog.mend`.
"""

# Long: what was synced, and what must be mended, is one state, kept under one lock.

from __future__ import annotations

import errno
import os
import stat
import threading
import time

from contentdb import files, forks
from contentdb.errors import DurabilityError, StorageError
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.index import driver as sqlite3
from contentdb.logs import swallow, warn
from contentdb.presence import reset_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from contentdb.files import Directory

__all__ = ["WriteAheadLog"]

_TICKS_NS: Final = 40_000_000
"""More than two ticks of the slowest kernel clock (100 Hz), which stamps files when they change."""

_SECOND_NS: Final = 1_000_000_000
_SECONDS_NS: Final = 2 * _SECOND_NS

_PIECE_BYTES: Final = 1 << 20
_STEP_BYTES: Final = 4 << 20
_HOLE: Final = "a sync of the index's log failed; the next write writes the log again"


class WriteAheadLog:
    """Puts committed transactions on disk; shared by the threads of one process."""

    def __init__(self, path: str, root: str) -> None:
        self._path = f"{path}-wal"
        self._root = root
        self.turn = threading.RLock()
        """Held during a sync, so that threads that wait find theirs done."""
        self._fd = -1
        self._file: tuple[int, int] | None = None
        """Device and inode of the open log, once its name is on disk."""
        self._unchanged: tuple[int, int, int] | None = None
        """Device, inode and time of a log of which every byte is on disk."""
        self._is_pinned = False
        """Whether a connection of this process keeps SQLite from replacing the log."""
        self._lengthened = 0
        self._has_hole = False
        self._is_syncing = False
        """The thread that has the turn and finds it True knows that an exception cut a sync off."""
        self._was_cut_off = False
        self._synced = 0
        self.committed = 0
        """Transactions that this process has committed; counted after COMMIT has returned."""

    # -- syncs -------------------------------------------------------------------------------------

    def sync(self, number: int) -> bool:
        """Put this process's transactions up to that number on disk, with all committed before.

        Return False if the log must be mended first.

        Raises:
            DurabilityError: The sync failed.
        """
        with self.turn:
            return self._synced >= number or self._sync(self._look())

    def sync_all(self) -> bool:
        """Put on disk what any process has committed so far; without a sync if that is known.

        Return and raise as `sync`.
        """
        with self.turn:
            known = self._unchanged is not None and self._unchanged == self._look()
            if known and not (self._has_hole or self._is_syncing):
                return True
            found, is_quiet = self._look_for_writers()
            done = self._sync(found)
            self._unchanged = found if done and is_quiet else None
            return done

    def _sync(self, found: tuple[int, int, int] | None) -> bool:
        """Sync the log, which was looked at just before."""
        target = self.committed
        if found is None:  # the last close of a process has folded the log in
            self._synced = max(self._synced, target)
            return True
        try:
            self._open(found)
        except FileNotFoundError:  # it does so now
            return self._sync(None)
        if self.needs_mending:
            return False
        self._is_syncing = True
        try:
            files.sync_data(self._fd, self._path)
        except DurabilityError:
            self.note_hole()
            raise
        self._is_syncing = False
        # Another process may have been told of a failed sync that this one was not told of.
        if os.path.exists(self._mark_path):  # noqa: PTH110 - a path is text here
            self._has_hole = True
            return False
        self._synced = max(self._synced, target)
        return True

    def _look_for_writers(self) -> tuple[tuple[int, int, int] | None, bool]:
        """Look at the log; return also whether each later write will change its time.

        So it is if no process is writing, and the time is older than a tick of the clock, or than
        two seconds in a filesystem that may keep whole ones.
        """
        root = files.open_directory(self._root)
        try:
            is_free = files.lock_shared(root.fd, root.path)
            found = self._look()
            now_ns = time.time_ns()
            if is_free:  # the child of a fork may have a copy of the descriptor
                files.unlock(root.fd)
        finally:
            root.close()
        if found is None:
            return None, False
        least_ns = _TICKS_NS if found[2] % _SECOND_NS else _SECONDS_NS
        return found, is_free and found[2] + least_ns < now_ns

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self._fd if self._is_pinned else self._path)  # noqa: PTH116 - as text
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError.of("stat", self._path, error) from error
        return found.st_dev, found.st_ino, found.st_mtime_ns

    def _open(self, found: tuple[int, int, int]) -> None:
        """Open the log unless it is open, and put its name on disk."""
        if self._file == found[:2]:
            return
        root = files.open_directory(self._root)
        try:
            self._open_in(root)
        finally:
            root.close()

    def _open_in(self, root: Directory) -> None:
        self.close()
        path = self._path
        try:
            self._fd = files.open_file(root, self._name, os.O_RDWR)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StorageError.of("open", path, error) from error
        opened = files.stat_open(self._fd, path)
        if not stat.S_ISREG(opened.st_mode):
            raise StorageError.of("open", path, OSError(errno.EINVAL, "not a file"))
        files.sync_directory(root)
        if files.stat_name(root, self._mark) is not None:
            self._has_hole = True
        self._file = opened.st_dev, opened.st_ino

    @property
    def _name(self) -> str:
        return os.path.basename(self._path)  # noqa: PTH119 - a path is text here

    @property
    def _mark(self) -> str:
        return f"{self._name}-hole"

    @property
    def _mark_path(self) -> str:
        return f"{self._path}-hole"

    # -- a connection that writes ------------------------------------------------------------------

    def pin(self, root: Directory) -> None:
        """Open the log that a connection of this process has begun to use.

        The caller holds the writers' lock, and calls `unpin` before it closes the connection.
        """
        with self.turn:
            found = self._look()
            if found is None or self._file != found[:2]:
                self._open_in(root)
            self._is_pinned = True

    def unpin(self) -> None:
        """Let SQLite replace the log; the next sync looks for it by its path."""
        self._is_pinned = False

    # -- a hole ------------------------------------------------------------------------------------

    @property
    def needs_mending(self) -> bool:
        """Whether bytes in front of the next transaction may not be on disk.

        Also if an exception of a signal handler came out of a sync, in the place of its error.
        """
        if self._is_syncing and self.turn.acquire(blocking=False):  # else another thread syncs
            try:
                self._was_cut_off = self._was_cut_off or self._is_syncing
            finally:
                self.turn.release()
        return self._has_hole or self._was_cut_off

    @property
    def is_pinned(self) -> bool:
        """Whether SQLite cannot replace the log."""
        return self._is_pinned

    def note_failure(self, error: BaseException) -> None:
        """Take an I/O error of SQLite for a failed sync: it may have met one.

        Linux tells a failed commit of the filesystem's journal once, not to each descriptor.
        """
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_IOERR:
            self.note_hole()

    def note_hole(self) -> None:
        """Remember, for other processes too, that a sync has failed."""
        self._has_hole = True
        self._unchanged = None
        warn("local.index", _HOLE, path=self._path)
        with swallow("local.index", _HOLE, StorageError, OSError, path=self._path):
            root = files.open_directory(self._root)
            try:
                files.let_go(files.open_file(root, self._mark, os.O_CREAT | os.O_RDWR))
            finally:
                root.close()

    def mend(self, root: Directory, check: Callable[[], None]) -> None:
        """Write the log's bytes again and sync them, after a sync has failed.

        The caller holds the writers' lock. Readers may read meanwhile: no byte changes.

        Args:
            root: The store's root.
            check: Raises if the database cannot be read whole: some filesystems drop the bytes that
                they could not write.

        Raises:
            DurabilityError, StorageError: It failed again; the log stays marked.
        """
        with self.turn:
            if self._has_hole:
                check()
            self._has_hole = True
            place = 0
            while piece := files.read_at(self._fd, _PIECE_BYTES, place, self._path):
                place += files.write_at(self._fd, piece, place, self._path)
            files.sync_data(self._fd, self._path)
            files.unlink(root, self._mark)
            self._synced = self.committed
            self._has_hole = self._was_cut_off = self._is_syncing = False

    # -- its length --------------------------------------------------------------------------------

    def lengthen(self, size: int, most: int) -> None:
        """Append zeros to a log that has grown, as blocks that were written before sync faster.

        SQLite takes a frame of zeros for the end of the log. The caller holds the writers' lock.
        Measured on ext4: 1 flush instead of 2.2, and no commit of the journal, for each sync.
        """
        if size == self._lengthened or size >= most or self._fd < 0:
            return
        with self.turn, swallow("local.index", "the log was not lengthened", StorageError):
            end = min(most, size + _STEP_BYTES)
            files.write_at(self._fd, bytes(end - size), size, self._path)
            self._lengthened = end

    # -- closing and forks -------------------------------------------------------------------------

    def close(self) -> None:
        """Close the log; a later sync opens it again."""
        with self.turn:
            fd, self._fd = self._fd, -1
            self._file = self._unchanged = None
            self._is_pinned = False
            self._lengthened = 0
            if fd >= 0:
                files.let_go(fd)

    def before_fork(self) -> None:
        """Wait until no thread syncs, and let none do so until the fork is over."""
        forks.hold(self.turn)

    def after_fork_in_child(self) -> None:
        """Close this copy of the descriptor: an error is told to the parent and the child once."""
        reset_after_fork(self.turn)
        self.close()
