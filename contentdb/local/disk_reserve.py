"""A reserve of one megabyte for a full disk: freeing space needs some space itself.

On a disk without a free block, not even a DELETE finds room for its entry in the log. So each
store keeps a file of zeros, removes it when the disk is full and a process opens the store or
deletes something, and makes it again when there is room.
"""

from __future__ import annotations

import os

from contentdb import files
from contentdb.errors import StorageError
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.layout import RESERVE
from contentdb.logs import swallow

if TYPE_CHECKING:
    from typing import Final

    from contentdb.files import Directory

__all__ = ["keep", "make_room"]

_NO_RESERVE: Final = "no reserve for a full disk was made; the next opening tries again"
_NOT_GIVEN_UP: Final = "the reserve could not be given up on a full disk; free some space"

_RESERVE_BYTES: Final = 1 << 20
_FULL_BYTES: Final = 256 << 10
_FULL_INODES: Final = 2
"""The index needs one for its log and one beside it; the reserve is one."""
_PLENTY_BYTES: Final = 64 << 20


def keep(root: Directory) -> None:
    """Make the file if it is missing and the disk has plenty of room."""
    with swallow("local.disk_reserve", _NO_RESERVE, StorageError, OSError, root=root.path):
        if files.stat_name(root, RESERVE) is not None or _free(root.path)[0] < _PLENTY_BYTES:
            return
        fd = files.open_file(root, RESERVE, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            os.posix_fallocate(fd, 0, _RESERVE_BYTES)
        finally:
            files.let_go(fd)


def make_room(root: str) -> None:
    """Remove the file if the disk is full."""
    free_bytes, free_inodes = _free(root)
    if free_bytes < _FULL_BYTES or free_inodes < _FULL_INODES:
        with swallow("local.disk_reserve", _NOT_GIVEN_UP, StorageError, root=root):
            directory = files.open_directory(root)
            try:
                files.unlink(directory, RESERVE)
            finally:
                directory.close()


def _free(root: str) -> tuple[int, int]:
    """Return the free bytes and inodes for any user; plenty if the system does not say."""
    try:
        found = os.statvfs(root)
    except OSError:
        return _PLENTY_BYTES, _FULL_INODES
    return found.f_bavail * found.f_frsize, found.f_favail if found.f_files else _FULL_INODES
