"""The connections that this process has open: who they exclude, and what a fork makes of them.

SQLite takes the locks of its own process from its memory. A child of a fork inherits the memory
without the locks (https://sqlite.org/howtocorrupt.html, 2.6).
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import struct
import threading
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from contentdb.errors import UnsafeForkError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "Connection",
    "alone",
    "check_safe",
    "close_inherited",
    "end",
    "is_safe",
    "remember",
    "set_unsafe",
]


class Connection(sqlite3.Connection):
    """A connection that locks its file, known here until it is closed."""

    path = ""
    file: tuple[int, int] | None = None
    """Device and inode of the database."""
    raised: BaseException | None = None
    """What a function that SQLite called has raised, which SQLite would keep to itself."""

    def close(self) -> None:
        """Close it, and forget it."""
        super().close()
        _open.discard(self)


_open: weakref.WeakSet[Connection] = weakref.WeakSet()
_apart = threading.RLock()
_unsafe: set[str] = set()
"""Databases whose connections have crossed a fork in a way that cannot be undone."""

_SHARED_FIRST: Final = 0x4000_0002
_SHARED_SIZE: Final = 510
"""The bytes that SQLite locks to read a database: SHARED_FIRST and SHARED_SIZE in its source."""


def remember(connection: Connection, path: str) -> Connection:
    """Know a new connection, which has locked nothing so far."""
    with _apart:
        connection.path = path
        connection.file = _identity(path)
        _open.add(connection)
    return connection


@contextmanager
def alone(path: str) -> Iterator[bool]:
    """Keep this process's other connections to the file out; False where there are any.

    To close any descriptor of a file drops all fcntl(2) locks that the process has on it
    (https://sqlite.org/howtocorrupt.html, 2.2), and only connections that lock take care.
    """
    with _apart:
        file = _identity(path)
        yield all(connection.file != file for connection in list(_open))


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - a path is text here
    except OSError:
        return None
    return found.st_dev, found.st_ino


# -- forks ---------------------------------------------------------------------------------------


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
    if _unsafe and isinstance(connection, Connection) and connection.path in _unsafe:
        import ctypes

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))  # not closed at the exit either
        return
    connection.close()


def close_inherited(*, opening: bool) -> None:
    """Close the connections that came along through a fork that Python did not see.

    Once the last connection to a file is closed, SQLite has no memory of its locks, and a new
    connection takes them for real. Nothing may be folded into the database or be unlinked by such a
    close: a lock of an open file description (fcntl(2), F_OFD_SETLKW), which is in the way even of
    its own process, keeps SQLite from believing that it is the last one.

    Args:
        opening: Whether a thread was opening a store in that moment.
    """
    inherited = list(_open)
    if opening:
        _unsafe.update(connection.path for connection in inherited)
    for path in {connection.path for connection in inherited} - _unsafe:
        if not _close_all(path, [each for each in inherited if each.path == path]):
            set_unsafe(path)
    for connection in inherited:
        if connection.path in _unsafe:
            end(connection)


def _close_all(path: str, connections: list[Connection]) -> bool:
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
