"""One SQLite database, shared by threads and processes.

Writers of all processes queue at a flock on the store's root before they begin. SQLite's own
lock would do for correctness, but its waiters sleep up to 100 ms between two tries, and a
checkpoint beside two writers corrupts databases on SQLite 3.7.0 to 3.51.2 (the WAL-reset bug,
https://sqlite.org/wal.html#walresetbug): the flock keeps checkpoints and writers apart.

Within a process, threads that commit at the same time share a transaction and its sync: the
thread that gets the turn runs the work of all that wait.

A signal handler may raise an exception anywhere. No write may stay half done after it: a write
that raises has happened, or never will.
"""

# Long: a write is queued, run, committed or read back in one order, which is read in one place.

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque

from contentdb import files, forks
from contentdb.errors import (
    CommitUnknownError,
    ContentDBError,
    DurabilityError,
    IndexBusyError,
    IndexDamagedError,
    IndexFailedError,
    ReentrantCallError,
    StorageError,
    UnsafeForkError,
)
from contentdb.light_typing import TYPE_CHECKING, TypeVar
from contentdb.local.index import checkpoints
from contentdb.local.index import driver as sqlite3
from contentdb.local.index.checkpoints import UNFOLDED, Checkpoints
from contentdb.local.index.connect import BUSY_S, connect, describe_holder, refusal
from contentdb.local.index.live import check_safe, end, is_safe, set_unsafe, unsafe
from contentdb.local.index.readers import Readers
from contentdb.local.index.wal import WriteAheadLog
from contentdb.local.root_identity import Place
from contentdb.logs import inform, swallow, warn
from contentdb.presence import reset_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from contextlib import AbstractContextManager
    from typing import Any, Final

    from contentdb.files import Directory

__all__ = ["Database", "connect", "holding", "refusal"]

_LONG_S: Final = 1.0
"""Seconds of waiting for the root's lock before the log names its holder."""

T = TypeVar("T")

_MENDINGS: Final = 10
"""Attempts to mend a log whose syncs are cut off again and again."""

_OF_A_JOB: Final = (ContentDBError, sqlite3.Error, OverflowError)
"""Errors of the work itself; any other comes from a signal handler, for the interrupted thread."""


class _Job:
    """A piece of a write transaction, and its result."""

    __slots__ = ("done", "durable", "error", "landed", "result", "rows", "work")

    def __init__(
        self,
        work: Callable[[sqlite3.Connection], Any],
        landed: Callable[[sqlite3.Connection], bool],
        rows: int | Callable[[Any], int],
        *,
        durable: bool,
    ) -> None:
        self.work = work
        self.landed = landed
        self.rows = rows
        self.durable = durable
        self.done = False
        self.result: Any = None
        self.error: BaseException | None = None

    def count_rows(self) -> int:
        if not callable(self.rows):
            return self.rows
        return 0 if self.result is None else self.rows(self.result)


class _Thread(threading.local):
    roots: tuple[str, ...] = ()
    """The stores that this thread is writing to now; another write would wait for itself."""


_thread = _Thread()


@contextlib.contextmanager
def holding(root: str) -> Iterator[None]:
    """Note that this thread holds a root's lock: a signal handler's write would wait for itself."""
    outer = _thread.roots
    try:
        _thread.roots = (*outer, root)
        yield
    finally:
        _thread.roots = outer


class Database:
    """Connections to the index: one for writing, some for reading, none across a fork."""

    def __init__(self, path: str, root: str, *, durable: bool, place: Place | None = None) -> None:
        self._path = path
        self._root = root
        self.durable = durable
        """Whether changes that are promised are synced."""
        self._place = place or Place(root)
        self._readers = Readers(path, self._place)
        self._queue: deque[_Job] = deque()
        """Jobs that wait; a job that is done stays until it comes to the front."""
        self._turn = threading.RLock()
        self._lock: Directory | None = None
        self._writer: sqlite3.Connection | None = None
        self._log = WriteAheadLog(path, root)
        self._checkpoints = Checkpoints(path)
        self._closed = False
        self._held_from = self._free_from = self._had_s = 0.0
        """When this process last got the lock and let go of it, and for how long it had it."""

    # -- reading -------------------------------------------------------------------------------

    def one(self, statement: str, values: dict[str, Any]) -> Any:  # noqa: ANN401 - a row of any shape
        """Run a statement that reads and return its first row, or None."""
        return self._readers.one(statement, values)

    def all(self, statement: str, values: dict[str, Any] | Sequence[object]) -> list[Any]:
        """Run a statement that reads and return all rows; for results known to be small."""
        with self._readers.snapshot() as connection:
            return connection.execute(statement, values).fetchall()

    def snapshot(self) -> AbstractContextManager[sqlite3.Connection]:
        """Hold one state of the database over several statements; a fork waits for its end."""
        return self._readers.snapshot()

    def stream(self, pieces: Generator[Iterator[T], None, None]) -> Iterator[Iterator[T]]:
        """Yield what a generator reads through `held`, across forks too."""
        return self._readers.stream(pieces)

    def held(self) -> AbstractContextManager[sqlite3.Connection]:
        """Hold one state of the database while a `stream` lasts; the WAL grows meanwhile."""
        return self._readers.held()

    # -- writing -------------------------------------------------------------------------------

    def write(
        self,
        work: Callable[[sqlite3.Connection], T],
        landed: Callable[[sqlite3.Connection], bool],
        *,
        durable: bool,
        rows: int | Callable[[T], int] = 1,
    ) -> T:
        """Run work inside a write transaction, perhaps together with the work of other threads.

        Args:
            work: Called with the connection. If it raises, its changes are undone; the transaction
                goes on for the others.
            landed: Called with a new connection after a COMMIT that failed, whose outcome is
                unknown: returns whether the work's changes are there.
            durable: Whether the changes survive a power cut once this returns. If the database was
                opened without durability, none do.
            rows: About how many rows the work changes, or a function of its result that says so.

        Raises:
            ReentrantCallError: A signal handler called this within a write of its thread.
            IndexBusyError: Another process held the write lock too long; nothing changed.
            NoSpaceError: The disk is full; nothing changed.
            CommitUnknownError: The COMMIT failed, and so did reading back; or it landed, and its
                sync failed.
            IndexFailedError: The database refused, or its log, after an earlier failure, cannot be
                put on disk; nothing changed.
        """
        if unsafe:
            check_safe(self._path)
        outer = _thread.roots
        if self._root in outer:
            raise ReentrantCallError(self._path)
        job = _Job(work, landed, rows, durable=durable and self.durable)
        try:
            _thread.roots = (*outer, self._root)
            self._queue.append(job)
            with self._turn:
                if not job.done:
                    self._run_queue()
                number = self._log.committed
            if job.durable and job.error is None:
                self._sync(number)
        except BaseException:
            job.done = True  # so that no thread begins to run it
            with self._turn:  # wait for a thread that is running it
                pass
            raise
        finally:
            _thread.roots = outer
        if job.error is not None:
            raise job.error
        return job.result  # type: ignore[no-any-return]  # what this job's work returned

    def _sync(self, number: int) -> None:
        """Put what this process has committed on disk, without the lock."""
        try:
            self._sync_or_mend(lambda: self._log.sync(number))
            if not self._log.is_pinned:
                self._place.check()
        except ContentDBError as error:
            raise CommitUnknownError(
                self._path, f"a change was made, but a power cut may undo it: {error}"
            ) from error

    def sync(self) -> None:
        """Put on disk what any process has committed so far, without the lock.

        Raises:
            DurabilityError: The log cannot be synced.
        """
        is_writing = self._root in _thread.roots
        with holding(self._root):
            self._sync_or_mend(self._log.sync_all, is_writing=is_writing)
            self._place.check()

    def _sync_or_mend(self, sync: Callable[[], bool], *, is_writing: bool = False) -> None:
        """Sync the log; if it must be mended first, do that in a transaction without changes."""
        try:
            for _ in range(_MENDINGS):
                if sync():
                    return
                if is_writing:  # it began before the log had a hole
                    break
                with self._turn:
                    self._transact([])
            raise DurabilityError("sync", self._path, OSError("an earlier sync failed"))
        finally:
            if self._closed and not is_writing:  # by another thread meanwhile
                with self._turn:
                    self._close_writer()

    def _run_queue(self) -> None:
        """Run the jobs that wait. No job leaves the queue before it is done, whatever is raised."""
        waiting = [self._queue[place] for place in range(len(self._queue))]
        jobs = [job for job in waiting if not job.done]
        try:
            self._transact(jobs)
        except ReentrantCallError:  # from a signal handler: other threads go on
            raise
        except ContentDBError as error:
            for job in jobs:
                if not job.done:  # else it was committed, and the error is this thread's
                    job.error = job.error or error
                    job.done = True
            raise
        finally:
            while self._queue and self._queue[0].done:
                self._queue.popleft()
            if self._closed:  # by another thread, while this one waited
                # Else the close could swallow an error; each job syncs again, and is told.
                with contextlib.suppress(ContentDBError):
                    self._log.sync(self._log.committed)
                self._close_writer()

    def _transact(self, jobs: list[_Job]) -> None:
        try:
            self._enter()
            self._check_place()
            self._attempt(jobs)
            written = self._checkpoints
            written.rows += sum([job.count_rows() for job in jobs])
            if written.rows >= min(written.look_at_rows, checkpoints.CHECKPOINT_ROWS):
                self._fold()
        except sqlite3.Error as error:
            raise refusal(self._path, error) from error
        finally:
            try:
                self._leave()
            except BaseException:  # from a signal handler; other processes wait for this lock
                self._leave()
                raise

    def _fold(self) -> None:
        """Checkpoint if it is due; if that fails the log stays, and nothing is lost."""
        if self._writer is None:
            return
        try:
            self._checkpoints.look(self._writer, self._log)
        except BaseException as error:
            self._drop_writer()  # it may still have a checkpoint's settings
            if not isinstance(error, sqlite3.Error):
                raise
            warn("local.index", UNFOLDED, path=self._path, error=error)

    def _attempt(self, jobs: list[_Job]) -> None:
        """Run jobs in one transaction; each is done, or an error is raised for all."""
        committing = False
        try:
            connection = self._begin()
            for job in jobs:
                self._run(job, connection, shared=len(jobs) > 1)
            if connection.in_transaction:
                if unsafe:
                    check_safe(self._path)  # a signal handler may have forked here
                committing = True
                connection.execute("COMMIT")
                self._log.committed += 1
            for job in jobs:
                job.done = True
        except BaseException as error:
            self._end_failed(jobs, error, committing=committing)
            if not committing or not isinstance(error, sqlite3.Error):
                raise

    def _run(self, job: _Job, connection: sqlite3.Connection, *, shared: bool) -> None:
        job.error = None
        if shared:
            connection.execute("SAVEPOINT job")
        try:
            job.result = job.work(connection)
        except ReentrantCallError:
            raise
        except _OF_A_JOB as error:
            if not connection.in_transaction:  # SQLite has rolled all work back
                raise
            connection.execute("ROLLBACK TO job" if shared else "ROLLBACK")
            job.error = error
            if isinstance(error, sqlite3.Error):
                job.error = refusal(self._path, error)
                job.error.__cause__ = error
        if shared:
            connection.execute("RELEASE job")

    def _end_failed(self, jobs: list[_Job], error: BaseException, *, committing: bool) -> None:
        """Roll a transaction back, or find out whether it landed if its COMMIT had begun."""
        writer = self._writer
        if not committing and writer is not None and writer.in_transaction and is_safe(self._path):
            with contextlib.suppress(sqlite3.Error):
                writer.execute("ROLLBACK")
        self._log.note_failure(error)
        self._drop_writer()
        if committing:
            self._read_back(jobs, error)

    def _read_back(self, jobs: list[_Job], cause: BaseException) -> None:
        """Find out on a new connection which jobs landed: no file may be removed on a guess."""
        self._log.committed += 1  # if it has landed it is not on disk yet
        try:
            with contextlib.closing(connect(self._path, query_only=True)) as connection:
                for job in jobs:
                    if job.error is None and not job.landed(connection):
                        if not isinstance(cause, sqlite3.Error):
                            continue  # from a signal handler: other threads run their jobs again
                        job.error = refusal(self._path, cause)
                    job.done = True
        except BaseException as error:
            for job in jobs:
                if not job.done:
                    reason = f"a commit may or may not have happened: {cause}; then {error}"
                    job.error = job.error or CommitUnknownError(self._path, reason)
                    job.done = True
            if not isinstance(error, (sqlite3.Error, ContentDBError)):
                raise

    def _begin(self) -> sqlite3.Connection:
        lock = self._lock
        if self._writer is None:
            self._writer = connect(self._path)
            # The log is synced after the lock is free: see `contentdb.local.index.wal`.
            self._writer.execute("PRAGMA synchronous = NORMAL").fetchall()
            self._writer.execute("BEGIN IMMEDIATE")
            if lock is not None:
                self._log.pin(lock)
        else:
            self._writer.execute("BEGIN IMMEDIATE")
        if lock is not None and self._log.needs_mending:
            try:
                self._log.mend(lock, self._check_whole)
            except StorageError as error:
                reason = f"its log cannot be put on disk: {error}"
                raise IndexFailedError(self._path, reason) from error
        return self._writer

    def _check_whole(self) -> None:
        with contextlib.closing(connect(self._path, query_only=True)) as connection:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise IndexDamagedError(
                self._path, f"{found}; `contentdb reindex` rebuilds it from the blobs"
            )

    def rest_s(self, share: float) -> float:
        """Return how much longer the lock should be left to others; see `Collecting.rest_s`."""
        return self._free_from + self._had_s * share - time.monotonic()

    # -- the writers' queue ----------------------------------------------------------------------

    def _enter(self) -> None:
        if self._lock is None:
            self._place.check()
            self._lock = files.open_directory(self._root)
        if not files.lock(self._lock.fd, self._root, wait=_LONG_S):
            self._wait_longer(self._lock)
        self._held_from = time.monotonic()

    def _wait_longer(self, lock: Directory) -> None:
        holder = files.lock_holder(lock.fd)
        inform("local.index", "waiting for the lock of the root", root=self._root, holder=holder)
        if not files.lock(lock.fd, self._root, wait=BUSY_S - _LONG_S):
            raise IndexBusyError(self._path, describe_holder(lock.fd))

    def _check_place(self) -> None:
        try:
            self._place.check()
        except ContentDBError:
            self._leave()
            self._drop_lock()  # it may be another root's
            raise

    def _drop_lock(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()

    def _leave(self) -> None:
        if self._lock is not None and not files.unlock(self._lock.fd):
            self._lock.close()  # which frees the lock too; the commit stays
            self._lock = None
        self._free_from = time.monotonic()
        self._had_s = self._free_from - self._held_from

    # -- connections -----------------------------------------------------------------------------

    def _drop_writer(self) -> None:
        self._log.unpin()
        writer, self._writer = self._writer, None
        if writer is not None:
            with contextlib.suppress(sqlite3.Error):
                end(writer)

    def _is_inside(self) -> bool:
        """Return whether this thread is inside a write or read, as when a signal handler forks."""
        return self._root in _thread.roots or self._readers.is_inside

    def before_fork(self) -> None:
        """Close everything and take the turn: SQLite's state must not cross a fork."""
        forks.hold(self._turn)
        self._log.before_fork()
        self._readers.before_fork()
        if self._root not in _thread.roots:
            self._close_writer()

    def look_at_unseen_fork(self) -> None:
        """Check, in the child of a fork without `before_fork`, whether a thread was inside SQLite.

        If so, a mutex of SQLite may be held for ever: its connections must not be touched.
        """
        if not self._turn.acquire(blocking=False) or self._readers.others_inside:
            set_unsafe(self._path)

    def after_fork_in_child(self) -> UnsafeForkError | None:
        """Start with an empty queue and without the lock, which belong to the parent.

        Return an error if this process must not use the database.
        """
        if self._is_inside():
            set_unsafe(self._path)
        self._queue.clear()
        reset_after_fork(self._turn)
        self._readers.after_fork_in_child()
        self._drop_writer()
        self._log.after_fork_in_child()
        self._drop_lock()  # only this copy: the parent may hold the lock
        return None if is_safe(self._path) else UnsafeForkError(self._path)

    def close(self) -> None:
        """Close all connections; a large WAL is folded into the database first.

        Later calls, as of a writer that outlived its store, still work, but keep nothing open.
        """
        with self._turn:
            self._closed = True
            if self._writer is not None and self._checkpoints.is_overdue():
                with swallow(
                    "local.index", UNFOLDED, ContentDBError, sqlite3.Error, path=self._path
                ):
                    self._enter()
                    try:
                        self._checkpoints.checkpoint(self._writer, "TRUNCATE", self._log)
                    finally:
                        self._leave()
            self._readers.close()
            self._close_writer()

    def _close_writer(self) -> None:
        self._drop_writer()
        self._log.close()
        self._drop_lock()
