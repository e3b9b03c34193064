"""A megabyte that a full disk gets back: what frees space needs some itself.

On a disk without a free block not even a DELETE finds room for the log that it is written to.
So each store keeps a file of zeros, gives it up when the disk is full and somebody opens the
store or removes something, and makes it anew when there is room again.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final

from contentdb import files
from contentdb.errors import StorageError
from contentdb.layout import RESERVE

if TYPE_CHECKING:
    from contentdb.files import Directory

__all__ = ["keep", "make_room"]

_RESERVE_BYTES: Final = 1 << 20
_FULL_BYTES: Final = 256 << 10
_PLENTY_BYTES: Final = 64 << 20


def keep(root: Directory) -> None:
    """Make the file if it is missing and the disk has plenty of room."""
    if files.stat_name(root, RESERVE) is not None or _free_bytes(root.path) < _PLENTY_BYTES:
        return
    with contextlib.suppress(StorageError, OSError):  # another time, then
        fd = files.open_file(root, RESERVE, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            os.posix_fallocate(fd, 0, _RESERVE_BYTES)
        finally:
            files.let_go(fd)


def make_room(root: str) -> None:
    """Give the file up if the disk is full."""
    if _free_bytes(root) < _FULL_BYTES:
        with contextlib.suppress(StorageError):
            directory = files.open_directory(root)
            try:
                files.unlink(directory, RESERVE)
            finally:
                directory.close()


def _free_bytes(root: str) -> int:
    """What any user may still write; more than enough where the system does not say."""
    try:
        found = os.statvfs(root)
    except OSError:
        return _PLENTY_BYTES
    return found.f_bavail * found.f_frsize
