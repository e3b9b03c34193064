"""Open the database file: the settings of a connection with their reasons, and its errors."""

from __future__ import annotations

import errno
import os
import threading

from contentdb import files
from contentdb.errors import (
    ContentDBError,
    IndexBusyError,
    IndexDamagedError,
    IndexFailedError,
    NoSpaceError,
    StorageError,
)
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.index import driver as sqlite3
from contentdb.local.index import live

if TYPE_CHECKING:
    from typing import Final

__all__ = [
    "BUSY_S",
    "WAL_BYTES",
    "connect",
    "connect_immutable",
    "connect_read_only",
    "corrupt",
    "describe_holder",
    "not_forking",
    "refusal",
]

BUSY_S: Final = 30.0
"""Seconds to queue for the write lock before giving up with `IndexBusyError`."""

WAL_BYTES: Final = 8 << 20

not_forking = threading.RLock()
"""Held while connections are open that belong to no store yet: they must not cross a fork(2)."""

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
    # Labels are removed with their blob.
    "PRAGMA foreign_keys = ON",
    # Checkpoints are deliberate, see `contentdb.local.index.database`.
    "PRAGMA wal_autocheckpoint = 0",
    # The WAL keeps its blocks: overwriting them syncs faster than growing a file, and a
    # delete still finds room on a full disk.
    f"PRAGMA journal_size_limit = {WAL_BYTES}",
    # 16 MiB of page cache hold the inner pages of tens of millions of rows.
    "PRAGMA cache_size = -16384",
    # Sorting a million rows uses a file, whatever this SQLite was built to do.
    "PRAGMA temp_store = FILE",
)


def connect(path: str, *, query_only: bool = False) -> sqlite3.Connection:
    """Open an existing database file with every setting in place.

    ``isolation_level=None`` keeps the sqlite3 module from beginning transactions by itself. A
    connection with ``query_only`` leaves the file as it is: it may be a foreign database.
    """
    connection = _connect(path, "mode=rw")
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
    """Open a database that has its log and shared memory, and change none of the three.

    Without ``readonly_shm``, SQLite writes to the shared memory
    (https://sqlite.org/wal.html#readonly).
    """
    connection = _connect(path, "mode=ro&readonly_shm=1")
    try:
        for pragma in _PRAGMAS:
            connection.execute(pragma).fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def connect_immutable(path: str) -> sqlite3.Connection:
    """Open a database that is one file and does not change; SQLite reads no log and takes no lock.

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


def _connect(path: str, parameters: str) -> sqlite3.Connection:
    live.check_safe(path)
    connection = sqlite3.connect(
        f"{_uri(path)}?{parameters}",
        uri=True,
        timeout=BUSY_S,
        isolation_level=None,
        check_same_thread=False,
        factory=live.Connection,
    )
    return live.remember(connection, path)


def _set_wal(connection: sqlite3.Connection, path: str) -> None:
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":  # an injected or real I/O error shows only in the answer
        raise IndexFailedError(path, f"journal mode is {mode}, not WAL")


def _uri(path: str) -> str:
    """Return any path as a URI, even one of bytes that are no text.

    The empty authority keeps ``//host/…`` a path (https://sqlite.org/uri.html).
    """
    quoted = "".join(chr(byte) if byte in _PLAIN else f"%{byte:02x}" for byte in os.fsencode(path))
    return f"file://{quoted}" if quoted.startswith("/") else f"file:{quoted}"


def corrupt(what: str) -> sqlite3.DatabaseError:
    """Make the error of SQLite for a row that cannot be, which `refusal` translates."""
    error = sqlite3.DatabaseError(what)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def describe_holder(fd: int) -> str:
    """Describe the process that held a lock for longer than a caller waits, if that is known."""
    holder = files.lock_holder(fd)
    process = "another process" if holder is None else f"process {holder}"
    return f"held for over {BUSY_S:.0f} s by {process}"


def refusal(path: str, error: sqlite3.Error) -> ContentDBError:
    """Translate an error of the driver; a full or read-only filesystem counts first."""
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
"""Errors that do not say their cause."""
_SHM_BYTES: Final = 32 << 10
"""Bytes that the first connection needs beside the database file."""


def _is_full(path: str) -> bool:
    found = _stat_filesystem(path)
    if found is None:
        return False
    no_blocks = found.f_bavail * found.f_frsize < _SHM_BYTES
    return no_blocks or bool(found.f_files and not found.f_favail)


def _is_read_only(path: str) -> bool:
    found = _stat_filesystem(path)
    return found is not None and bool(found.f_flag & os.ST_RDONLY)


def _stat_filesystem(path: str) -> os.statvfs_result | None:
    try:
        return os.statvfs(path)
    except OSError:
        return None
