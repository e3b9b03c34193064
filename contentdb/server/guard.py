"""Lets one live server listen on a unix socket's path, in a directory private to its user.

gRPC would silently replace the socket of another live server. So a lock file beside the path
guards it; the kernel frees the lock when its holder dies. The directory's mode, not the socket's,
keeps other users out, so that they cannot connect even while the socket is being made.
"""

from __future__ import annotations

import fcntl
import os
import socket
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from contentdb.streams.export import refuse_stores

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

__all__ = ["SocketError", "SocketGuard"]

_PATH_BYTES: Final = 107
"""The longest path in a `sockaddr_un` (unix(7)), without the closing NUL."""

_PROBE_S: Final = 5.0


class SocketError(Exception):
    """A server cannot listen on the path. Attributes: ``path``, ``reason``."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class SocketGuard:
    """Holds a socket's path until `release`.

    The constructor creates a missing directory (0700) and removes a stale socket.

    Raises:
        SocketError: Another server listens there; the directory is open to other users; the
            path is too long or exists and is not a socket.
        StorageError: The path is inside a store, this one or any other.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        refuse_stores(self.path, os.path.realpath(self.path.parent))
        if len(os.fsencode(self.path)) > _PATH_BYTES:
            raise SocketError(self.path, f"longer than the {_PATH_BYTES} bytes a socket may have")
        _make_private(self.path.parent)
        self._lock = _lock(self.path)
        try:
            _remove_stale(self.path)
        except BaseException:
            os.close(self._lock)
            raise

    def release(self) -> None:
        """Remove the socket and free the path; twice is harmless.

        The lock's file stays: if it were removed, two servers could lock two files of one name.
        """
        if self._lock < 0:
            return
        with suppress(FileNotFoundError):
            self.path.unlink()
        os.close(self._lock)
        self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def _make_private(directory: Path) -> None:
    try:
        directory.mkdir(0o700, parents=True, exist_ok=True)
        found = directory.stat()
    except OSError as error:
        raise SocketError(directory, error.strerror or str(error)) from error
    if found.st_uid != os.geteuid():
        raise SocketError(directory, "the socket's directory belongs to another user")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise SocketError(
            directory, "the socket's directory is open to other users; chmod 700 it or use another"
        )


def _lock(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        lock = os.open(f"{path}.lock", flags, 0o600)
    except OSError as error:
        raise SocketError(path, f"cannot make its lock: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise SocketError(path, "another server is listening there") from error
    return lock


def _remove_stale(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise SocketError(path, "something that is no socket is there; it was left alone")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_PROBE_S)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except (TimeoutError, BlockingIOError):  # the server is alive, its backlog is full
            pass
        except OSError as error:
            raise SocketError(path, f"cannot tell what is there: {error.strerror}") from error
    raise SocketError(path, "another server is listening there")
