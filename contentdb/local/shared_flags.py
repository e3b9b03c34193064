"""Flags that a store's processes share, read without a system call.

Two bytes of a small file, which each process has mapped into its memory:

- Whether a namespace other than the default was ever opened. If none was, a name in ``blobs/``
  promises every reader that the blob exists, and reads need no database. Namespaces share the
  files but not the rows.
- Whether any process has ever stored without syncing (``durability="process"``). If none has,
  all stored content is on disk, and content that is added again needs no sync.

Each open store also keeps a shared lock on that file, so that upkeep can tell whether another
store is open, which may be in the midst of a commit. The lock belongs to an opening of the file,
and a process can test it without taking it: F_OFD_GETLK of fcntl(2).
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from typing import TYPE_CHECKING, Final

from contentdb import files
from contentdb.errors import StorageError
from contentdb.local.layout import SHARED
from contentdb.logs import swallow
from contentdb.store_folder import SEVERAL_NAMESPACES

if TYPE_CHECKING:
    from contentdb.files import Directory

__all__ = ["Sharing"]


_UNSYNCED: Final = 1
_SIZE: Final = 2
_BOTH: Final = b"\1\1"

_UNSEEN: Final = "a fork shares the lock of its parent, so upkeep there may not see that it writes"
_FLOCK: Final = "hhqqi0q"
"""struct flock of fcntl(2): type, whence, start, length (0 is all), process (0 for these locks)."""


class Sharing:
    """The mapped bytes of one store: 0 for no; a byte that is 1 once stays 1."""

    __slots__ = ("_bytes", "_fd", "_path")

    def __init__(self, root: Directory, *, read_only: bool = False, several: bool = False) -> None:
        """Map the file; if it is missing, make it with both flags 0.

        With ``read_only`` nothing is made or locked; if the file is missing, both flags count as 1.
        ``several`` says that this process uses another namespace, which it may not announce then.
        """
        self._path = root.child(SHARED)
        self._fd, self._bytes = (
            _map_to_read(root, several=several) if read_only else _map_to_change(root)
        )

    @property
    def several(self) -> bool:
        """Whether any process has ever opened another namespace than the default."""
        return self._bytes[SEVERAL_NAMESPACES] != 0

    @property
    def unsynced(self) -> bool:
        """Whether any process has ever opened the store without durability."""
        return self._bytes[_UNSYNCED] != 0

    def is_alone(self) -> bool:
        """Return whether no other store object, of this process or another, is open at this moment.

        What earlier ones began has ended by now, or never will.
        """
        if self._fd < 0:  # each store that is open for writing makes the file
            return True
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        try:
            answer = fcntl.fcntl(self._fd, fcntl.F_OFD_GETLK, asked)
        except OSError as error:
            raise StorageError.of("look for locks of", self._path, error) from error
        return bool(struct.unpack(_FLOCK, answer)[0] == fcntl.F_UNLCK)

    def after_fork_in_child(self) -> None:
        """Take a lock of its own: a fork shares the lock, so the two would not see each other.

        If the system refuses, as for too many open files, upkeep in the parent may take a file that
        the child commits for an orphan.
        """
        if self._fd < 0:
            return
        with swallow("local.engine", _UNSEEN, OSError, StorageError, path=self._path):
            fd = files.open_path(f"/proc/self/fd/{int(self._fd)}", os.O_RDWR)
            self._fd, shared = fd, self._fd
            files.let_go(shared)
            _be_present(fd, self._path)

    def announce(self, root: Directory, *, several: bool, unsynced: bool) -> None:
        """Set flags, durably; every process that has mapped the file sees them at once.

        A flag that is set already is written again: another process may not have synced it yet.
        """
        flags = ((SEVERAL_NAMESPACES, several), (_UNSYNCED, unsynced))
        news = [place for place, holds in flags if holds]
        if not news:
            return
        fd = _open(root)
        try:
            for place in news:  # one by one: another process may be setting the other
                files.write_at(fd, b"\1", place, root.child(SHARED))
            files.sync(fd, root.child(SHARED))
        finally:
            files.let_go(fd)

    def close(self) -> None:
        """Unmap the file and free the lock."""
        if isinstance(self._bytes, mmap.mmap):
            self._bytes.close()
        fd, self._fd = self._fd, -1
        if fd >= 0:
            files.let_go(fd)


def _map_to_change(root: Directory) -> tuple[int, mmap.mmap]:
    fd = _open(root, os.O_CREAT)
    path = root.child(SHARED)
    try:
        # The file is made longer, not replaced: another process may be setting a flag.
        if files.stat_open(fd, path).st_size < _SIZE:
            files.truncate(fd, _SIZE, path)
            files.sync(fd, path)
            files.sync_directory(root)
        mapped = _map(fd, root, mmap.PROT_READ | mmap.PROT_WRITE)
        _be_present(fd, path)
    except BaseException:
        files.let_go(fd)
        raise
    return fd, mapped


def _map_to_read(root: Directory, *, several: bool) -> tuple[int, mmap.mmap | bytes]:
    try:
        fd = files.open_file(root, SHARED, os.O_RDONLY)
    except FileNotFoundError:
        return -1, _BOTH
    except OSError as error:
        raise StorageError.of("open", root.child(SHARED), error) from error
    try:
        if several or files.stat_open(fd, root.child(SHARED)).st_size < _SIZE:
            return fd, _BOTH
        return fd, _map(fd, root, mmap.PROT_READ)
    except BaseException:
        files.let_go(fd)
        raise


def _be_present(fd: int, path: str) -> None:
    lock = struct.pack(_FLOCK, fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, lock)
    except OSError as error:
        raise StorageError.of("lock", path, error) from error


def _open(root: Directory, flags: int = 0) -> int:
    try:
        return files.open_file(root, SHARED, os.O_RDWR | flags)
    except OSError as error:
        raise StorageError.of("open", root.child(SHARED), error) from error


def _map(fd: int, root: Directory, access: int) -> mmap.mmap:
    try:
        return mmap.mmap(fd, _SIZE, prot=access)
    except OSError as error:
        raise StorageError.of("map", root.child(SHARED), error) from error
