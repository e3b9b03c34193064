"""Ref locks: the flock(2) of an ingest's file shows that its writer lives.

The kernel frees a flock when its holder ends, however it ends, keeps it while the holder is
merely stopped, and knows nothing of PID namespaces or clocks. Two openings of one file exclude
each other within a process too, so threads need no other lock. After taking the lock, a process
checks that the name still leads to the file: it may have been removed during the wait.

A child of fork(2) shares its parent's locks for as long as it keeps their descriptors. It must
close them at once, and must not unlock: that would free the parent's locks.
"""

from __future__ import annotations

import fcntl
import functools
import os
import threading
import time

from contentdb import files, forks
from contentdb.errors import StorageError
from contentdb.light_typing import TYPE_CHECKING
from contentdb.presence import reset_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from contentdb.files import Directory

__all__ = [
    "acquire",
    "boot",
    "create",
    "holder",
    "is_current",
    "is_held",
    "is_ours_to_write",
    "release",
    "remove_dead",
]

_PROBE_S: Final = 0.02
"""Seconds for which a process that only tests a lock, or removes a dead file, may hold it."""

_held: dict[int, dict[str, object]] = {}
"""Open descriptors by number, with the attributes of each `files.Descriptor`, not the object: one
that nothing else refers to closes itself, which frees the lock."""
_guard = threading.RLock()  # a writer that is garbage-collected may release it within another call
"""Held from the opening of a descriptor to its entry into `_held`, so that no fork is between."""


def acquire(within: Directory, name: str, *, wait: float | bool = False) -> int | None:
    """Open or create a file and lock it; return None if it stays locked for all of ``wait``.

    ``wait`` is in seconds; True waits without end. Free the descriptor with `release`.

    Raises:
        StorageError: The name is not a file of ours, or the system refused.
    """
    deadline = time.monotonic() + wait
    while True:
        fd = _open(within, name, os.O_RDWR | os.O_CREAT)
        try:
            left = True if wait is True else max(deadline - time.monotonic(), _PROBE_S)
            locked = files.lock(fd, within.child(name), wait=left)
            if locked and is_current(within, name, fd):
                return fd
        except BaseException:
            release(fd)
            raise
        _close(fd)
        if not locked:
            return None


def create(within: Directory, name: str) -> int:
    """Create a file and lock it; try again if another process removed it before the lock."""
    while True:
        fd = _open(within, name, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            files.lock(fd, within.child(name), wait=True)
            if is_current(within, name, fd):
                return fd
        except BaseException:
            release(fd)
            raise
        _close(fd)


def remove_dead(
    within: Directory, name: str, is_of_use: Callable[[], bool] = lambda: False
) -> bool:
    """Remove a file under its lock, unless its owner lives; return True if it is gone.

    ``is_of_use`` is called under the lock, and says whether the file must stay.
    """
    try:
        fd = files.open_file(within, name, os.O_RDONLY)
    except FileNotFoundError:
        return True
    except PermissionError:  # this library did not make it
        return False
    try:
        if not files.lock(fd, within.child(name)):
            return False
        if is_of_use():
            return False
        if is_current(within, name, fd):
            files.unlink(within, name)
    finally:
        files.unlock(fd)  # as in `is_held`
        files.let_go(fd)
    return True


def _open(within: Directory, name: str, flags: int) -> int:
    with _guard:
        try:
            fd = _open_or_read(within, name, flags)
        except OSError as error:
            raise StorageError.of("open", within.child(name), error) from error
        _held[int(fd)] = getattr(fd, "__dict__", {})
    try:
        private = files.is_private_file(files.stat_open(fd, within.child(name)), within)
    except StorageError:
        _close(fd)
        raise
    if not private:
        _close(fd)
        cause = OSError(0, "it is not a regular file of the store's owner; remove it")
        raise StorageError("use", within.child(name), cause)
    return fd


def _open_or_read(within: Directory, name: str, flags: int) -> int:
    """Open a file; read-only where an interrupted commit left it so, which is enough to lock it."""
    try:
        return files.open_file(within, name, flags)
    except PermissionError as refused:
        try:
            return files.open_file(within, name, os.O_RDONLY)
        except FileNotFoundError:  # the directory is read-only
            raise refused from None


def is_ours_to_write(fd: int, path: str) -> bool:
    """Return whether the open file is only an ingest's: writable, and not a blob too.

    False for a file of another member of a group: only its owner can make it read-only later.
    """
    if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        return False
    found = files.stat_open(fd, path)
    return found.st_nlink == 1 and found.st_uid == os.geteuid()


def is_current(within: Directory, name: str, fd: int) -> bool:
    """Return whether the name still leads to the open file."""
    found = files.stat_name(within, name)
    return found is not None and os.path.samestat(found, files.stat_open(fd, within.child(name)))


def is_held(within: Directory, name: str) -> bool:
    """Return whether a live process holds the lock now. The test disturbs no holder.

    Raises:
        StorageError: This process may not open the file: the store is another user's.
    """
    try:
        fd = files.open_file(within, name, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StorageError.of("open", within.child(name), error) from error
    try:
        return not files.lock_shared(fd, within.child(name))
    finally:
        files.unlock(fd)  # a child that was forked in this moment may keep the descriptor
        files.let_go(fd)


def release(fd: int) -> None:
    """Free the lock, even where a forked child still has a copy of the descriptor.

    May be repeated: a number that was closed may be that of another lock by now.
    """
    if fd in _held and getattr(fd, "is_open", True):
        files.unlock(fd)
        _close(fd)


def _close(fd: int) -> None:
    with _guard:
        files.let_go(fd)  # first: after an exception in between, the caller may try again
        _held.pop(fd, None)


@functools.cache
def boot() -> str:
    """Return 8 characters that differ for each start of the machine; empty if unknown."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:  # noqa: PTH123 - pathlib is slow to import
            return file.read(8)
    except (OSError, UnicodeDecodeError):
        return ""


def holder() -> str:
    """Describe this process for messages; whether it lives is never judged by this."""
    return f"process {os.getpid()} on {os.uname().nodename}"


def _close_in_child(seen: bool) -> None:  # noqa: ARG001, FBT001 - a hook
    for fd, attributes in _held.items():
        if attributes.get("is_open", True):
            attributes["is_open"] = False
            files.let_go(fd)
    _held.clear()
    reset_after_fork(_guard)


forks.register(before=lambda: forks.hold(_guard), in_child=_close_in_child)
