"""The connections that this process has open: what they exclude, and how a fork affects them.

SQLite remembers the locks of its own process in memory. A child of a fork inherits that memory
without the locks (https://sqlite.org/howtocorrupt.html, 2.6).
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading
import weakref
from contextlib import contextmanager

from contentdb.errors import UnsafeForkError
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.index import driver as sqlite3

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

__all__ = [
    "Connection",
    "alone",
    "check_safe",
    "close_inherited",
    "end",
    "is_safe",
    "remember",
    "set_unsafe",
    "unsafe",
]


class Connection(sqlite3.Connection):
    """A connection that locks its file, listed here until it is closed."""

    path = ""
    file: tuple[int, int] | None = None
    """Device and inode of the database."""
    raised: BaseException | None = None
    """The exception of a function that SQLite called; SQLite does not pass it on."""

    def close(self) -> None:
        """Close the connection, and remove it from the list."""
        super().close()
        _open.discard(self)


_open: weakref.WeakSet[Connection] = weakref.WeakSet()
_apart = threading.RLock()
unsafe: Final[set[str]] = set()
"""Databases whose connections crossed a fork while in use, which cannot be undone."""

_SHARED_FIRST: Final = 0x4000_0002
_SHARED_SIZE: Final = 510
"""The bytes that SQLite locks to read a database: SHARED_FIRST and SHARED_SIZE in its source."""


def remember(connection: Connection, path: str) -> Connection:
    """List a new connection, which has locked nothing yet."""
    with _apart:
        connection.path = path
        connection.file = _identify(path)
        _open.add(connection)
    return connection


@contextmanager
def alone(path: str) -> Iterator[bool]:
    """Let this process open no other connection to the file; yield False if there is one.

    Closing any descriptor of a file drops all fcntl(2) locks that the process has on it
    (https://sqlite.org/howtocorrupt.html, 2.2); only connections that lock avoid that.
    """
    with _apart:
        file = _identify(path)
        yield all(connection.file != file for connection in list(_open))


def _identify(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - a path is text here
    except OSError:
        return None
    return found.st_dev, found.st_ino


# -- forks ---------------------------------------------------------------------------------------


def is_safe(path: str) -> bool:
    """Return whether this process may use the database: no connection crossed a fork in use."""
    return path not in unsafe


def check_safe(path: str) -> None:
    """Raise `UnsafeForkError` unless this process may use the database."""
    if path in unsafe:
        raise UnsafeForkError(path)


def set_unsafe(path: str) -> None:
    """Forbid this process the use of the database."""
    unsafe.add(path)


def end(connection: sqlite3.Connection) -> None:
    """Close a connection; if this process must not touch it, keep it for ever instead."""
    if unsafe and isinstance(connection, Connection) and connection.path in unsafe:
        import ctypes

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))  # not even closed at exit
        return
    connection.close()


def close_inherited(*, opening: bool) -> None:
    """Close the connections inherited through a fork that Python did not see.

    Once the last connection to a file is closed, SQLite has no memory of its locks, and a new
    connection takes real locks. But such a close must not checkpoint the database or unlink its
    log: a lock of an open file description (fcntl(2), F_OFD_SETLKW), which excludes even its own
    process, keeps SQLite from believing that this is the last connection.

    Args:
        opening: Whether a thread was opening a store at that moment.
    """
    inherited = list(_open)
    if opening:
        unsafe.update(connection.path for connection in inherited)
    for path in {connection.path for connection in inherited} - unsafe:
        if not _close_all(path, [each for each in inherited if each.path == path]):
            set_unsafe(path)
    for connection in inherited:
        if connection.path in unsafe:
            end(connection)


def _close_all(path: str, connections: list[Connection]) -> bool:
    """Close connections without a checkpoint; if that is not certain, close none, return False."""
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
