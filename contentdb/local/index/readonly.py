"""Read the index of a store that must not be written to: no file is made or changed.

A database in WAL mode needs its log and the shared memory beside it, and SQLite makes them where
they are missing. So there are three cases:

- Both exist: SQLite reads them as they are, with its own locks, beside living writers and after
  dead ones.
- No log, or an empty one: the database is one file, and is read as immutable, without any lock
  of SQLite's. A shared flock(2) of the root keeps commits and checkpoints out meanwhile, as long
  as one look-up takes; without a log nothing else can change the file.
- A log, and no shared memory: the store was copied while it was in use. Read as immutable, it
  would lack its last commits without an error. So it is copied once more, to a private place, and
  the log is folded into the copy.

A walk takes longer than writers may be kept out: in the second case it reads a copy too, unless
the filesystem itself is read-only.
"""

# Long: three ways to read a file that must not be written to, each the exception to the other two.

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from contentdb import files
from contentdb.errors import IndexBusyError, IndexFailedError, StorageError, StoreReadOnlyError
from contentdb.local.index.connect import (
    BUSY_S,
    connect,
    connect_immutable,
    connect_read_only,
    describe_holder,
    refusal,
)
from contentdb.local.index.database import Database, holding
from contentdb.local.index.live import alone, end
from contentdb.local.index.readers import Readers
from contentdb.local.mounts import is_read_only

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from contentdb.local.root_identity import Place

__all__ = ["ReadOnlyDatabase"]

T = TypeVar("T")

_WAL_HEADER_BYTES: Final = 32
"""A log of this size or less has no frames (https://sqlite.org/fileformat.html#walformat)."""
_ATTEMPTS: Final = 5
"""Tries to open files that come and go with the last user of the store."""


class ReadOnlyDatabase(Database):
    """A `Database` for a store that was opened for reading."""

    def __init__(self, path: str, root: str, place: Place | None) -> None:
        super().__init__(path, root, durable=False, place=place)
        self._readers = _Readers(path, root, self._place)

    def write(
        self,
        work: Callable[[sqlite3.Connection], T],  # noqa: ARG002 - the signature of `Database`
        landed: Callable[[sqlite3.Connection], bool],  # noqa: ARG002
        *,
        durable: bool,  # noqa: ARG002
        rows: int | Callable[[T], int] = 1,  # noqa: ARG002
    ) -> NoReturn:
        """Raise: the store was opened for reading."""
        raise StoreReadOnlyError(self._root, "it was opened for reading, with mode='r'")

    def close(self) -> None:
        """Close all connections, and remove the private copy if there is one."""
        super().close()
        self._readers.forget_copy()

    _readers: _Readers


class _Readers(Readers):
    """Readers that keep connections that lock, and open others for each use."""

    def __init__(self, path: str, root: str, place: Place) -> None:
        super().__init__(path, place)
        self._root = root
        self._copy: tuple[object, _Copy] | None = None

    def one(self, statement: str, values: dict[str, Any]) -> Any:  # noqa: ANN401 - a row of any shape
        """Run a statement that reads and return its first row, or None."""
        with self._inside.mine(), self._choose(long=False) as connection:
            return connection.execute(statement, values).fetchone()

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Hold one state of the database over several statements; writers wait for its end."""
        with self._inside.mine(), self._choose(long=False) as connection, _transaction(connection):
            yield connection

    @contextlib.contextmanager
    def held(self) -> Iterator[sqlite3.Connection]:
        """Hold one state of the database while a `stream` lasts, without making writers wait."""
        with self._choose(long=True) as connection, _transaction(connection):
            yield connection

    def forget_copy(self) -> None:
        """Remove the private copy."""
        copy, self._copy = self._copy, None
        if copy is not None:
            copy[1].remove()

    # -- which way ------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _choose(self, *, long: bool) -> Iterator[sqlite3.Connection]:
        """Lend a connection; an error of the driver becomes one of ours."""
        with self._translate_errors(), contextlib.ExitStack() as ends:
            connection = self._take_idle()
            if connection is None:
                still = ends.enter_context(contextlib.ExitStack())
                still.enter_context(self._keep_writers_out())
                self._place.check()
                connection = self._connect_locking()
                if connection is None:
                    yield ends.enter_context(self._lend_unlocked(still, long=long))
                    return
                still.close()
            try:
                yield connection
            except BaseException:
                end(connection)
                raise
            self._give_back(connection)

    def _take_idle(self) -> sqlite3.Connection | None:
        """Return an idle connection that locks, if there is one: the log stays while it is open."""
        try:
            return self._idle.pop()
        except IndexError:
            return None

    @contextlib.contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            self._check_readable()
            raise refusal(self._path, error) from error

    def _check_readable(self) -> None:
        """Raise for a file that this process may not read: SQLite does not say which one."""
        for path in (self._path, self._path + "-wal", self._path + "-shm"):
            if os.access(path, os.F_OK) and not os.access(path, os.R_OK, effective_ids=True):
                cause = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
                raise StorageError.of("read", path, cause)

    @contextlib.contextmanager
    def _keep_writers_out(self) -> Iterator[None]:
        """Keep commits and checkpoints out."""
        with holding(self._root):
            root = files.open_directory(self._root)
            try:
                if not files.lock_shared(root.fd, self._root, wait=BUSY_S):
                    raise IndexBusyError(self._path, describe_holder(root.fd))
                yield
            finally:
                files.unlock(root.fd)  # a forked child may have the descriptor
                root.close()

    def _connect_locking(self) -> sqlite3.Connection | None:
        """Connect with SQLite's own locks if log and shared memory exist; else return None."""
        failure: sqlite3.Error | None = None
        for _ in range(_ATTEMPTS):
            if self._size("-wal") is None or self._size("-shm") is None:
                return None
            connection = connect_read_only(self._path)
            try:
                # From its first read on, it holds a lock that keeps the log in place.
                connection.execute("PRAGMA schema_version").fetchone()
            except sqlite3.Error as error:  # they were just removed, or may not be read
                connection.close()
                failure = error
            except BaseException:
                connection.close()
                raise
            else:
                return connection
        raise failure or IndexFailedError(
            self._path, "its log keeps being made and removed; try again"
        )

    def _size(self, suffix: str) -> int | None:
        found = _stat(self._path + suffix)
        return None if found is None else found.st_size

    @contextlib.contextmanager
    def _lend_unlocked(
        self, still: contextlib.ExitStack, *, long: bool
    ) -> Iterator[sqlite3.Connection]:
        """Lend a connection to a database that is one file: the original or a copy."""
        with contextlib.ExitStack() as apart:
            if not apart.enter_context(alone(self._path)):
                # This process has the store open for writing too.
                connection = connect(self._path, query_only=True)
            elif self._is_unfolded():
                connection = self._private_copy().connect()
                still.close()
            elif not long:
                connection = connect_immutable(self._path)
            elif is_read_only(Path(self._root)):
                apart.close()  # no process can lock the file for writing
                connection = connect_immutable(self._path)
            else:
                copy = _Copy(self._path)
                try:
                    connection = copy.connect()
                finally:
                    copy.remove()
                still.close()
            if long:
                apart.close()
            with contextlib.closing(connection):
                yield connection

    def _is_unfolded(self) -> bool:
        """Return whether the last commits are in a file beside the database."""
        return (self._size("-wal") or 0) > _WAL_HEADER_BYTES or bool(self._size("-journal"))

    def _private_copy(self) -> _Copy:
        """Return the copy; make a new one if the original has changed."""
        key = [_identify(self._path + suffix) for suffix in _COPIED]
        if self._copy is None or self._copy[0] != key or not self._copy[1].is_there():
            self.forget_copy()
            self._copy = (key, _Copy(self._path))
        return self._copy[1]


_COPIED: Final = ("-wal", "-journal", "")
"""The log first: another process that ends may checkpoint it into the database meanwhile."""


class _Copy:
    """A private copy of a database, in a temporary directory; the log is folded in."""

    _pid = 0
    """The process that removes it."""

    def __init__(self, path: str) -> None:
        import shutil
        import tempfile  # takes 20 ms, which most commands save

        self._remove = shutil.rmtree
        self._pid = os.getpid()
        # Set before it is made, so that `remove` finds it whatever is raised.
        self._folder = Path(tempfile.gettempdir()) / f"contentdb-{os.urandom(16).hex()}"
        self._copied = self._folder / "index.sqlite"
        try:
            self._folder.mkdir(mode=0o700)
        except OSError as error:
            raise StorageError.of("make directory", self._folder, error) from error
        if any([self._take(path, suffix) for suffix in _COPIED][:-1]):
            self._fold(path)

    def remove(self) -> None:
        """Remove the copy, unless this process's parent made it; may be repeated."""
        if os.getpid() != self._pid:
            return
        try:
            self._remove(self._folder, ignore_errors=True)
        except BaseException:  # from a signal handler
            self._remove(self._folder, ignore_errors=True)
            raise

    def __del__(self) -> None:
        """Remove a copy that was forgotten."""
        self.remove()

    def _take(self, path: str, suffix: str) -> bool:
        """Copy one of the files; return False if it does not exist."""
        try:
            source = files.open_path(path + suffix, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StorageError.of("read", path + suffix, error) from error
        name = self._copied.name + suffix
        folder = files.open_directory(str(self._folder))
        try:
            out = files.open_file(folder, name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            files.copy(source, out, folder.child(name))
            files.close(out, folder.child(name))
        except OSError as error:
            raise StorageError.of("write", folder.child(name), error) from error
        finally:
            folder.close()
            files.let_go(source)
        return True

    def _fold(self, path: str) -> None:
        try:
            with contextlib.closing(sqlite3.connect(self._copied)) as connection:
                connection.execute("PRAGMA synchronous = OFF").fetchall()  # the copy is temporary
                mode = connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
        except sqlite3.Error as error:
            raise refusal(path, error) from error
        if mode != "delete":
            raise IndexFailedError(path, f"journal mode of its copy is {mode}, not delete")

    def connect(self) -> sqlite3.Connection:
        """Open the copy."""
        return connect_immutable(str(self._copied))

    def is_there(self) -> bool:
        """Return whether it still exists: the parent of a fork may have closed its store."""
        return self._copied.exists()


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:  # some errors have ended it already
            connection.execute("ROLLBACK")


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path, follow_symlinks=False)  # noqa: PTH116 - a path is text here
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError.of("stat", path, error) from error


def _identify(path: str) -> tuple[int, ...] | None:
    found = _stat(path)
    if found is None:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
