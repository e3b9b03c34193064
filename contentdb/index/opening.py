"""Opening the database file: every setting of a connection with its reason, and its errors."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import struct
import threading
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from contentdb import forks
from contentdb.errors import (
    ContentDBError,
    IndexBusyError,
    IndexDamagedError,
    IndexFailedError,
    NoSpaceError,
    StorageError,
    UnsafeForkError,
)
from contentdb.presence import reset_after_fork

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "BUSY_S",
    "WAL_BYTES",
    "alone",
    "check_safe",
    "close_inherited",
    "connect",
    "connect_immutable",
    "connect_read_only",
    "end",
    "is_safe",
    "not_forking",
    "refusal",
    "set_unsafe",
]

BUSY_S: Final = 30.0
"""How long to queue for the write lock before giving up with `IndexBusyError`."""

WAL_BYTES: Final = 8 << 20

not_forking = threading.RLock()
"""Held while connections are open that no store knows of yet: they must not cross a fork(2)."""

_PLAIN: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-")

_PRAGMAS_OF_ALL: Final = (
    # A planted schema cannot call functions; a damaged page is found when it is read.
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
    # An I/O error becomes an error code, not a SIGBUS.
    "PRAGMA mmap_size = 0",
)
_PRAGMAS: Final = (
    *_PRAGMAS_OF_ALL,
    # Labels go with their blob.
    "PRAGMA foreign_keys = ON",
    # Checkpoints are deliberate, see `contentdb.index.connection`.
    "PRAGMA wal_autocheckpoint = 0",
    # The WAL keeps its blocks: overwriting them syncs faster than growing a file, and a
    # delete still finds room on a full disk.
    f"PRAGMA journal_size_limit = {WAL_BYTES}",
    # 16 MiB of page cache hold the inner pages of tens of millions of rows.
    "PRAGMA cache_size = -16384",
)


class _Connection(sqlite3.Connection):
    """A connection that locks its file, and that weak references can be kept of."""

    path = ""
    file = (0, 0)
    """Device and inode of its database."""

    def close(self) -> None:
        super().close()
        _connections.discard(self)


_connections: weakref.WeakSet[_Connection] = weakref.WeakSet()
_apart = threading.RLock()
"""Held while a connection becomes known, and by `alone`."""
_unsafe: set[str] = set()
"""Databases whose connections have crossed a fork in a way that cannot be undone."""

_SHARED_FIRST: Final = 0x4000_0002
_SHARED_SIZE: Final = 510
"""The bytes that SQLite locks to read a database; see https://sqlite.org/fileformat2.html and
`SHARED_FIRST` in its source."""


def is_safe(path: str) -> bool:
    """Whether this process may use the database: no connection crossed a fork while in use."""
    return path not in _unsafe


def check_safe(path: str) -> None:
    """Raise `UnsafeForkError` unless this process may use the database."""
    if _unsafe and path in _unsafe:
        raise UnsafeForkError(path)


def set_unsafe(path: str) -> None:
    """Use the database no more in this process."""
    _unsafe.add(path)


def end(connection: sqlite3.Connection) -> None:
    """Close a connection; one that must not be touched in this process is kept for ever."""
    if _unsafe and isinstance(connection, _Connection) and connection.path in _unsafe:
        import ctypes

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))  # not closed at the exit either
        return
    connection.close()


def close_inherited() -> None:
    """Close the connections that came along through a fork that Python did not see.

    SQLite takes the locks of its own process from its memory, and a child inherits the memory
    without the locks (https://sqlite.org/howtocorrupt.html, 2.6). Once the last connection to a
    file is closed, that memory is gone, and a new connection takes locks for real. Nothing may be
    folded into the database or be unlinked by such a close: a lock of an open file description
    (fcntl(2), F_OFD_SETLKW), which is in the way even of its own process, keeps SQLite from
    believing that it is the last one.
    """
    inherited = list(_connections)
    if not not_forking.acquire(blocking=False):  # a thread was opening a store
        _unsafe.update(connection.path for connection in inherited)
    for path in {connection.path for connection in inherited} - _unsafe:
        if not _close_all(path, [each for each in inherited if each.path == path]):
            set_unsafe(path)
    for connection in inherited:
        if connection.path in _unsafe:
            end(connection)


def _close_all(path: str, connections: list[_Connection]) -> bool:
    """Close connections without a checkpoint; False if that is not sure, and none is closed."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        found = os.fstat(fd)
        if any(connection.file != (found.st_dev, found.st_ino) for connection in connections):
            return False
        shared = struct.pack("hhqqi", fcntl.F_RDLCK, os.SEEK_SET, _SHARED_FIRST, _SHARED_SIZE, 0)
        fcntl.fcntl(fd, fcntl.F_OFD_SETLKW, shared)
        for connection in connections:
            connection.close()
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def connect(path: str, *, query_only: bool = False) -> sqlite3.Connection:
    """Open an existing database file with every setting in place.

    Transactions are ours: ``isolation_level=None`` keeps the module from beginning any. A
    connection that only reads leaves the file as it is, which may be somebody else's.
    """
    connection = _connected(path, "mode=rw")
    try:
        for pragma in _PRAGMAS:
            connection.execute(pragma).fetchall()
        if query_only:
            connection.execute("PRAGMA query_only = ON").fetchall()
        else:
            _set_wal(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def connect_read_only(path: str) -> sqlite3.Connection:
    """Open a database whose log and shared memory are there, and change none of the three.

    SQLite itself would write to the shared memory (https://sqlite.org/wal.html#readonly), unless
    it is told not to.
    """
    connection = _connected(path, "mode=ro&readonly_shm=1")
    try:
        for pragma in _PRAGMAS:
            connection.execute(pragma).fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def connect_immutable(path: str) -> sqlite3.Connection:
    """Open a database that is one file and stays as it is: no log is looked for, no lock taken.

    Keep writers out while it is open, and this process's other connections too: see `alone`.
    """
    connection = sqlite3.connect(
        f"{_uri(path)}?mode=ro&immutable=1", uri=True, isolation_level=None, check_same_thread=False
    )
    try:
        for pragma in _PRAGMAS_OF_ALL:
            connection.execute(pragma).fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def _connected(path: str, parameters: str) -> sqlite3.Connection:
    check_safe(path)
    connection = sqlite3.connect(
        f"{_uri(path)}?{parameters}",
        uri=True,
        timeout=BUSY_S,
        isolation_level=None,
        check_same_thread=False,
        factory=_Connection,
    )
    try:
        _remember(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _remember(connection: _Connection, path: str) -> None:
    file = _identity(path)
    with _apart:  # so far it has locked nothing
        connection.path = path
        connection.file = file
        _connections.add(connection)


def _identity(path: str) -> tuple[int, int]:
    try:
        found = os.stat(path)  # noqa: PTH116 - a path is text here
    except OSError as error:  # renamed away in this moment
        raise StorageError.of("stat", path, error) from error
    return found.st_dev, found.st_ino


@contextmanager
def alone(path: str) -> Iterator[bool]:
    """Keep this process's other connections to the file out; False where there are any.

    To close any descriptor of a file drops all fcntl(2) locks that the process has on it
    (https://sqlite.org/howtocorrupt.html, 2.2), and only connections that lock take care.
    """
    with _apart:
        file = _identity(path)
        yield all(connection.file != file for connection in list(_connections))


def _in_child(seen: bool) -> None:  # noqa: ARG001, FBT001 - a hook
    if not _apart._is_owned():  # type: ignore[attr-defined]  # noqa: SLF001 - as `threading.Condition` asks
        reset_after_fork(_apart)


forks.register(before=lambda: None, in_child=_in_child)


def _set_wal(connection: sqlite3.Connection, path: str) -> None:
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":  # an injected or real I/O error shows only in the answer
        raise IndexFailedError(path, f"journal mode is {mode}, not WAL")


def _uri(path: str) -> str:
    """Any path as a URI, one of bytes that are no text too.

    The empty authority keeps ``//host/…`` a path (https://sqlite.org/uri.html).
    """
    quoted = "".join(chr(byte) if byte in _PLAIN else f"%{byte:02x}" for byte in os.fsencode(path))
    return f"file://{quoted}" if quoted.startswith("/") else f"file:{quoted}"


def refusal(path: str, error: sqlite3.Error) -> ContentDBError:
    """Translate an error of the driver; what the filesystem says of itself comes first."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return IndexBusyError(path, f"held for over {BUSY_S:.0f} s by another process ({error})")
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return IndexDamagedError(path, f"{error}; `contentdb reindex` rebuilds it from the blobs")
    if code == sqlite3.SQLITE_FULL or (code in _UNSAID and _is_full(path)):
        return NoSpaceError("write", path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    if code in _UNSAID and _is_read_only(path):
        return StorageError("write", path, OSError(errno.EROFS, os.strerror(errno.EROFS)))
    return IndexFailedError(path, str(error))


_UNSAID: Final = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}
"""Errors that say nothing of their cause."""
_SHM_BYTES: Final = 32 << 10
"""What the first connection needs beside the database file."""


def _is_full(path: str) -> bool:
    found = _filesystem(path)
    if found is None:
        return False
    no_blocks = found.f_bavail * found.f_frsize < _SHM_BYTES
    return no_blocks or bool(found.f_files and not found.f_favail)


def _is_read_only(path: str) -> bool:
    found = _filesystem(path)
    return found is not None and bool(found.f_flag & os.ST_RDONLY)


def _filesystem(path: str) -> os.statvfs_result | None:
    try:
        return os.statvfs(path)
    except OSError:
        return None
