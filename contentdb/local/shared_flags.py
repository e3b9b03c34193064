"""What a store's processes must know of each other, told without a system call.

Two bytes of a small file, which each process has mapped into its memory:

- Whether more than the default namespace lies over the files. With that one alone, a name in
  ``blobs/`` is a promise to whoever asks, and reads need no database. Others see the same files
  but not the same rows.
- Whether anybody has ever stored without syncing (``durability="process"``). Where nobody has,
  what is stored is on disk, and content met again need not be put there.

Each open store also keeps a shared lock on that file, so that upkeep can tell whether there is
another that may be in the midst of a commit. It is one of the kind that belongs to an opening of
the file and that can be asked for without being taken: F_OFD_GETLK of fcntl(2).
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import struct
from typing import TYPE_CHECKING, Final

from contentdb import files
from contentdb.errors import StorageError
from contentdb.local.layout import SHARED

if TYPE_CHECKING:
    from contentdb.files import Directory

__all__ = ["Sharing"]


_SEVERAL: Final = 0
_UNSYNCED: Final = 1
_SIZE: Final = 2
_BOTH: Final = b"\1\1"

_FLOCK: Final = "hhqqi0q"
"""struct flock of fcntl(2): type, whence, start, length (0 is all), process (0 for these locks)."""


class Sharing:
    """The mapped bytes of one store: 0 for no, and once 1 for ever."""

    __slots__ = ("_bytes", "_fd", "_path")

    def __init__(self, root: Directory, *, read_only: bool = False, several: bool = False) -> None:
        """Map them; the file is made if it is missing, and then says no twice.

        With ``read_only`` nothing is made or locked: where the file is missing, both may be so.
        ``several`` says that this process is in another namespace, which it may not announce then.
        """
        self._path = root.child(SHARED)
        self._fd, self._bytes = _to_read(root, several=several) if read_only else _to_change(root)

    @property
    def several(self) -> bool:
        """Whether any process has ever opened another namespace than the default."""
        return self._bytes[_SEVERAL] != 0

    @property
    def unsynced(self) -> bool:
        """Whether any process has ever opened the store without durability."""
        return self._bytes[_UNSYNCED] != 0

    def is_alone(self) -> bool:
        """Whether no other open store, of this process or another, is there at this moment.

        What such a one began before has ended by now, or never will.
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
        """Be there for itself: a fork shares the lock, so the two would not see each other.

        Where the system refuses, as for too many open files, upkeep of the parent may take what
        the child commits for an orphan.
        """
        if self._fd < 0:
            return
        with contextlib.suppress(OSError, StorageError):
            fd = files.open_path(f"/proc/self/fd/{int(self._fd)}", os.O_RDWR)
            self._fd, shared = fd, self._fd
            files.let_go(shared)
            _be_present(fd, self._path)

    def announce(self, root: Directory, *, several: bool, unsynced: bool) -> None:
        """Say what is so from now on, durably; whoever has the bytes mapped sees it at once.

        Also where it was said: by whom, and whether that has reached the disk, is not known.
        """
        news = [place for place, holds in ((_SEVERAL, several), (_UNSYNCED, unsynced)) if holds]
        if not news:
            return
        fd = _opened(root)
        try:
            for place in news:  # each for itself: another process may announce the other
                files.write_at(fd, b"\1", place, root.child(SHARED))
            files.sync(fd, root.child(SHARED))
        finally:
            files.let_go(fd)

    def close(self) -> None:
        """Unmap them, and be gone."""
        if isinstance(self._bytes, mmap.mmap):
            self._bytes.close()
        fd, self._fd = self._fd, -1
        if fd >= 0:
            files.let_go(fd)


def _to_change(root: Directory) -> tuple[int, mmap.mmap]:
    fd = _opened(root, os.O_CREAT)
    path = root.child(SHARED)
    try:
        # It is made longer, not anew: another process may announce something.
        if files.stat_open(fd, path).st_size < _SIZE:
            files.truncate(fd, _SIZE, path)
            files.sync(fd, path)
            files.sync_directory(root)
        mapped = _mapped(fd, root, mmap.PROT_READ | mmap.PROT_WRITE)
        _be_present(fd, path)
    except BaseException:
        files.let_go(fd)
        raise
    return fd, mapped


def _to_read(root: Directory, *, several: bool) -> tuple[int, mmap.mmap | bytes]:
    try:
        fd = files.open_file(root, SHARED, os.O_RDONLY)
    except FileNotFoundError:
        return -1, _BOTH
    except OSError as error:
        raise StorageError.of("open", root.child(SHARED), error) from error
    try:
        if several or files.stat_open(fd, root.child(SHARED)).st_size < _SIZE:
            return fd, _BOTH
        return fd, _mapped(fd, root, mmap.PROT_READ)
    except BaseException:
        files.let_go(fd)
        raise


def _be_present(fd: int, path: str) -> None:
    lock = struct.pack(_FLOCK, fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, lock)
    except OSError as error:
        raise StorageError.of("lock", path, error) from error


def _opened(root: Directory, flags: int = 0) -> int:
    try:
        return files.open_file(root, SHARED, os.O_RDWR | flags)
    except OSError as error:
        raise StorageError.of("open", root.child(SHARED), error) from error


def _mapped(fd: int, root: Directory, access: int) -> mmap.mmap:
    try:
        return mmap.mmap(fd, _SIZE, prot=access)
    except OSError as error:
        raise StorageError.of("map", root.child(SHARED), error) from error
