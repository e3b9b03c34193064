"""Who may hold a unix socket's path: one live server, in a directory of its user alone.

gRPC would silently take a live socket over from another server, so the path is guarded by
a lock beside it, which dies with its holder. The directory, not the mode of the socket,
keeps others out: there is no moment at which they could connect.
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
"""What fits into `sockaddr_un` (unix(7)), but for the closing NUL."""

_PROBE_S: Final = 5.0


class SocketError(Exception):
    """The path cannot be listened on. Attributes: ``path``, ``reason``."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class SocketGuard:
    """Holds a socket's path from the making until `release`.

    Making one creates the directory (0700) where it is missing and removes a stale socket.

    Raises:
        SocketError: Another server is alive there; the directory is open to others; the
            path is too long or is something else than a socket.
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
        """Remove the socket and let the path go; twice is harmless.

        The lock's file stays: removing it would let two servers lock two files of one name.
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
        except (TimeoutError, BlockingIOError):  # alive, with more callers than it takes
            pass
        except OSError as error:
            raise SocketError(path, f"cannot tell what is there: {error.strerror}") from error
    raise SocketError(path, "another server is listening there")
