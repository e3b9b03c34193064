"""The directory ``packs/``: name, make, open and read packs.

A pack's name is a random number that no other pack ever gets: a reader that has one open reads the
same bytes on after it was removed. Its flock shows that a process appends to it, or scans it; a
lock on the directory is held while one is chosen.
"""

# Long: it is one directory: what is named, locked, read and marked there.

from __future__ import annotations

import errno
import os
import stat
import struct
import threading
from contextlib import contextmanager

from contentdb import files
from contentdb.errors import CorruptBlobError, IndexBusyError, StorageError
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.packs.record import STATE_AT, content_at, state_of_deleted
from contentdb.logs import swallow
from contentdb.presence import reset_after_fork

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Final

    from contentdb.digest import Digest
    from contentdb.files import Directory
    from contentdb.local.index import Location

__all__ = ["FIRST", "PackDirectory", "below_of", "note_below"]

FIRST: Final = 64
"""Where the first record of a pack begins, in bytes."""

_HEAD: Final = struct.Struct("<8sI")
_MAGIC: Final = b"CDBPACK1"
_SUFFIX: Final = ".pack"
_BELOW: Final = "below"
"""The file that says which blobs the store packs."""
_SEALED: Final = ".sealed"
_OPEN_FILES: Final = 64
_UNSEEN: Final = "a fork shares the lock of its parent on packs"
_NO_FILE: Final = {errno.EISDIR, errno.ELOOP, errno.ENXIO}
"""What open(2) says of a directory, of a symbolic link, and of a socket or a device."""
_CHOOSING_S: Final = 60.0
"""Seconds to wait for another process that reads packs after a crash."""


class PackDirectory:
    """An open ``packs/``; shared by the threads of a process."""

    def __init__(self, directory: Directory, below: int, *, read_only: bool = False) -> None:
        self.directory = directory
        self._flags = os.O_RDONLY if read_only else os.O_RDWR  # to mark records, too
        self.below = below
        """Blobs of fewer bytes are packed."""
        self._open: dict[int, int] = {}
        self._evicting = threading.RLock()
        self._choosing = threading.RLock()
        """Held with the lock on the directory, which the threads of a process share."""

    def path(self, pack: int) -> str:
        """Return the path of a pack, for messages."""
        return self.directory.child(_name(pack))

    def close(self) -> None:
        """Close all that is open."""
        while self._open:
            files.let_go(self._open.popitem()[1])
        self.directory.close()

    # -- choosing ------------------------------------------------------------------------------

    def _lock(self) -> None:
        path = self.directory.path
        if not files.lock(self.directory.fd, path, wait=_CHOOSING_S):
            raise IndexBusyError(path, "another process reads its packs after a crash; try again")

    @contextmanager
    def choosing(self) -> Iterator[None]:
        """Keep other threads and processes from choosing a pack during the block.

        Raises:
            IndexBusyError: Another process kept them for a minute.
        """
        with self._choosing:
            try:
                self._lock()
                yield
            finally:
                try:
                    files.unlock(self.directory.fd)
                except BaseException:  # from a signal handler; other processes wait for this lock
                    files.unlock(self.directory.fd)
                    raise

    def after_fork_in_child(self) -> None:
        """Open the directory anew: a lock on this opening is the parent's too.

        If the system refuses, as for too many open files, the child may choose beside the parent;
        each pack has a lock of its own.
        """
        reset_after_fork(self._choosing)
        reset_after_fork(self._evicting)
        if self.directory.fd < 0:
            return
        with swallow("local.packs", _UNSEEN, StorageError, path=self.directory.path):
            shared, self.directory = self.directory, files.open_again(self.directory)
            shared.close()

    def names(self) -> Iterator[int]:
        """Yield the packs that there are."""
        for entry in files.entries(self.directory):
            stem = entry.name.removesuffix(_SUFFIX)
            if stem != entry.name and stem.isdecimal() and stem.isascii():
                yield int(stem)

    def make(self) -> tuple[int, int]:
        """Make a pack, durably; return its number and its descriptor, locked."""
        while True:
            pack = int.from_bytes(os.urandom(6), "little")
            try:
                fd = files.open_file(
                    self.directory, _name(pack), os.O_RDWR | os.O_CREAT | os.O_EXCL
                )
            except StorageError as error:
                if isinstance(error.__cause__, FileExistsError):
                    continue
                raise
            break
        path = self.path(pack)
        files.lock(fd, path)
        files.write_all(fd, _HEAD.pack(_MAGIC, self.below).ljust(FIRST, b"\0"), path)
        files.sync(fd, path)
        files.sync_directory(self.directory)
        return pack, fd

    def take(self, pack: int) -> int | None:
        """Open a pack to append to it or scan it; return None if a process has it, or it is gone.

        Close the descriptor to let go of it.
        """
        fd = self.open_with(pack, os.O_RDWR)
        if fd is None:
            return None
        path = self.path(pack)
        if _is_ours(fd, path) and files.lock(fd, path):
            return fd
        files.let_go(fd)
        return None

    def is_taken(self, pack: int) -> bool:
        """Return whether a process appends to a pack; the lock is tested and let go of at once."""
        fd = self.open(pack)
        if fd is None or not files.lock_shared(fd, self.path(pack)):
            return True
        files.unlock(fd)
        return False

    def seal(self, pack: int) -> None:
        """Mark a pack whose sync has failed: no process appends to it any more."""
        files.let_go(files.open_file(self.directory, _seal(pack), os.O_CREAT | os.O_RDWR))

    def is_sealed(self, pack: int) -> bool:
        """Return whether a sync of the pack has failed."""
        return files.stat_name(self.directory, _seal(pack)) is not None

    def remove(self, pack: int) -> None:
        """Remove a pack into which no row points; readers that have it open may read on."""
        self._open.pop(pack, None)
        files.unlink(self.directory, _name(pack))
        files.unlink(self.directory, _seal(pack))
        files.sync_directory(self.directory)

    def mark(self, pack: int, offsets: Sequence[int], state: bytes, *, sync: bool = True) -> None:
        """Change the state of records, whichever process has the pack, if it is still there.

        Only the state changes: a reader of a record's content reads on.
        """
        kept = self._open.get(pack)
        fd = self.open_with(pack, os.O_RDWR) if kept is None else kept
        if fd is None:  # a repack has left the records out
            return
        path = self.path(pack)
        try:
            for offset in offsets:
                if offset >= FIRST:
                    files.write_at(fd, state, offset + STATE_AT, path)
            if sync:
                files.sync_data(fd, path)
        finally:
            if kept is None:
                files.let_go(fd)

    def end_record(self, location: Location, *, is_elsewhere: bool) -> None:
        """Mark the record of a blob that was deleted; durable.

        Args:
            location: The record.
            is_elsewhere: Whether another namespace has the blob.
        """
        state = state_of_deleted(is_elsewhere=is_elsewhere)
        self.mark(location.pack, [location.offset], state)

    # -- reading -------------------------------------------------------------------------------

    def read(self, location: Location, digest: Digest, size: int) -> bytes | None:
        """Return a blob's bytes from its record, not verified; None if the pack is gone.

        Fewer bytes come back if the pack is too short.
        """
        fd = self.open(location.pack)
        if fd is None:
            return None
        return files.read_at(fd, size, location.offset + content_at(digest), digest)

    def open(self, pack: int) -> int | None:
        """Return a pack's descriptor, kept open; None if there is no such pack."""
        fd = self._open.get(pack)
        if fd is not None:
            return fd
        fd = self.open_with(pack, self._flags)
        if fd is None:
            return None
        with self._evicting:
            if len(self._open) >= _OPEN_FILES:
                self._open.pop(next(iter(self._open)), None)
            self._open[pack] = fd
        return fd

    def open_with(self, pack: int, flags: int) -> int | None:
        """Open a pack anew; return None if there is none of ours. A descriptor closes itself.

        Something else that has a pack's name, as a link or a directory, is no pack of ours.
        """
        path = self.path(pack)
        try:
            fd = files.open_file(self.directory, _name(pack), flags)
        except FileNotFoundError:
            return None
        except PermissionError as error:
            raise StorageError.of("open", path, error) from error
        except StorageError as error:
            if error.errno in _NO_FILE:
                return None
            raise
        return fd if files.is_private_file(files.stat_open(fd, path), self.directory) else None

    def has(self, location: Location, digest: Digest, size: int) -> bool:
        """Return whether a record's pack has its name, and is long enough."""
        found = files.stat_name(self.directory, _name(location.pack))
        return (
            found is not None
            and stat.S_ISREG(found.st_mode)
            and found.st_size >= location.offset + content_at(digest) + size
        )

    def sync(self, pack: int) -> None:
        """Put a pack's bytes on disk, which another process may not have done."""
        kept = self._open.get(pack)
        fd = self.open_with(pack, os.O_RDONLY) if kept is None else kept
        if fd is not None:
            try:
                files.sync_data(fd, self.path(pack))
            finally:
                if kept is None:
                    files.let_go(fd)

    def place(self, location: Location) -> str:
        """Describe where a record is, for messages."""
        return f"{self.path(location.pack)} at {location.offset}"

    def corrupt(self, digest: Digest, location: Location, reason: str) -> CorruptBlobError:
        """Return the error for a damaged record."""
        return CorruptBlobError(digest, self.place(location), reason)


def note_below(directory: Directory, below: int) -> None:
    """Write the size below which a new store packs blobs, for a new index; durable."""
    fd = files.open_file(directory, _BELOW, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    try:
        files.write_all(fd, b"%d\n" % below, directory.child(_BELOW))
        files.sync(fd, directory.child(_BELOW))
    finally:
        files.let_go(fd)
    files.sync_directory(directory)


def below_of(directory: Directory) -> int:
    """Return the size below which the store of these packs packs blobs; 0 if that is lost."""
    if files.stat_name(directory, _BELOW) is not None:
        text = _read_beginning(directory, _BELOW, 20).strip()
        if text.isdigit():
            return int(text)
    for entry in files.entries(directory):
        if entry.name.endswith(_SUFFIX):
            head = _read_beginning(directory, entry.name, _HEAD.size)
            if len(head) == _HEAD.size and head.startswith(_MAGIC):
                return int(_HEAD.unpack(head)[1])
    return 0


def _read_beginning(directory: Directory, name: str, size: int) -> bytes:
    fd = files.open_file(directory, name, os.O_RDONLY)
    try:
        return files.read(fd, size, directory.child(name))
    finally:
        files.let_go(fd)


def _is_ours(fd: int, path: str) -> bool:
    return files.read_at(fd, len(_MAGIC), 0, path) == _MAGIC


def _name(pack: int) -> str:
    return f"{pack}{_SUFFIX}"


def _seal(pack: int) -> str:
    return f"{pack}{_SEALED}"
