"""Flags that a store's processes share, read without a system call.

Four bytes of a small file, which each process has mapped into its memory:

- Whether a namespace other than the default was ever opened. If none was, a name in ``blobs/``
  promises every reader that the blob exists, and reads need no database. Namespaces share the
  files but not the rows.
- Whether any process has ever stored without syncing (``durability="process"``). If none has,
  all stored content is on disk, and content that is added again needs no sync.
- Whether a process has ever asked for a collection here, or set a policy. If none has, an answer
  that content is stored need not be written down for a collector: a first collection keeps all that
  was there, for as long as the answers before it promised.
- Whether any namespace has ever had a bound, or was collected from by last use. If none was,
  nothing is reserved for new content, and reads need not note when content was last used.

Each open store also keeps a shared lock on that file, so that upkeep can tell whether another
store is open, which may be in the midst of a commit. The lock belongs to an opening of the file,
and a process can test it without taking it: F_OFD_GETLK of fcntl(2).
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct

from contentdb import files
from contentdb.errors import StorageError
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.layout import SHARED
from contentdb.logs import swallow
from contentdb.store_folder import BOUNDED, SEVERAL_NAMESPACES

if TYPE_CHECKING:
    from typing import Final

    from contentdb.files import Directory

__all__ = ["Sharing"]


_UNSYNCED: Final = 1
_COLLECTS: Final = 2
_SIZE: Final = 4
_ALL: Final = b"\1\1\1\1"

_UNSEEN: Final = "a fork shares the lock of its parent, so upkeep there may not see that it writes"
_FLOCK: Final = "hhqqi0q"
"""struct flock of fcntl(2): type, whence, start, length (0 is all), process (0 for these locks)."""


class Sharing:
    """The mapped bytes of one store: 0 for no; a byte that is 1 once stays 1."""

    __slots__ = ("_bytes", "_fd", "_path", "told")

    def __init__(self, root: Directory, *, read_only: bool = False, several: bool = False) -> None:
        """Map the file. If it is missing or too short, all flags count as 1 until `complete`.

        With ``read_only`` nothing is made or locked.
        ``several`` says that this process uses another namespace, which it may not announce then.
        """
        self._path = root.child(SHARED)
        self._fd, self._bytes, self.told = (
            _map_to_read(root, several=several) if read_only else _map_to_change(root)
        )
        """With the count of flags that the file told."""

    @property
    def is_whole(self) -> bool:
        """Whether the file told all flags, or may not be changed."""
        return self._fd < 0 or self.told == _SIZE

    def complete(self, root: Directory, *, several: bool, unsynced: bool, bounded: bool) -> None:
        """Make the file whole, with flags as the index tells them; durable.

        A kill leaves it too short: a flag is set before the file is longer than its place.
        """
        unsynced = unsynced and self.told <= _UNSYNCED
        self.announce(root, several=several, unsynced=unsynced, bounded=bounded)
        # It is made longer, not replaced: another process may be setting a flag.
        if files.stat_open(self._fd, self._path).st_size < _SIZE:
            files.truncate(self._fd, _SIZE, self._path)
        files.sync(self._fd, self._path)
        files.sync_directory(root)
        self._bytes = _map(self._fd, root, mmap.PROT_READ | mmap.PROT_WRITE)
        self.told = _SIZE

    @property
    def several(self) -> bool:
        """Whether any process has ever opened another namespace than the default."""
        return self._bytes[SEVERAL_NAMESPACES] != 0

    @property
    def unsynced(self) -> bool:
        """Whether any process has ever opened the store without durability."""
        return self._bytes[_UNSYNCED] != 0

    @property
    def collects(self) -> bool:
        """Whether any process has ever asked for a collection in this store."""
        return self._bytes[_COLLECTS] != 0

    @property
    def bounded(self) -> bool:
        """Whether any namespace has ever had a bound, or was collected from by last use."""
        return self._bytes[BOUNDED] != 0

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

    def announce(
        self,
        root: Directory,
        *,
        several: bool = False,
        unsynced: bool = False,
        collects: bool = False,
        bounded: bool = False,
    ) -> None:
        """Set flags, durably; every process that has mapped the file sees them at once.

        A flag that is set already is written again: another process may not have synced it yet.
        """
        flags = (
            (SEVERAL_NAMESPACES, several),
            (_UNSYNCED, unsynced),
            (_COLLECTS, collects),
            (BOUNDED, bounded),
        )
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


def _map_to_change(root: Directory) -> tuple[int, mmap.mmap | bytes, int]:
    fd = _open(root, os.O_CREAT)
    path = root.child(SHARED)
    try:
        told = min(files.stat_open(fd, path).st_size, _SIZE)
        mapped = _map(fd, root, mmap.PROT_READ | mmap.PROT_WRITE) if told == _SIZE else _ALL
        _be_present(fd, path)
    except BaseException:
        files.let_go(fd)
        raise
    return fd, mapped, told


def _map_to_read(root: Directory, *, several: bool) -> tuple[int, mmap.mmap | bytes, int]:
    try:
        fd = files.open_file(root, SHARED, os.O_RDONLY)
    except FileNotFoundError:
        return -1, _ALL, _SIZE
    except OSError as error:
        raise StorageError.of("open", root.child(SHARED), error) from error
    try:
        if several or files.stat_open(fd, root.child(SHARED)).st_size < _SIZE:
            return fd, _ALL, _SIZE
        return fd, _map(fd, root, mmap.PROT_READ), _SIZE
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
