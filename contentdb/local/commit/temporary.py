"""Temporary files in ``ingest/``: without a name, or with one whose lock shows a live owner."""

from __future__ import annotations

import errno
import os

from contentdb import files
from contentdb.errors import ContentDBError, ReentrantCallError, StorageError
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local import locks
from contentdb.local.layout import TEMPORARY, lock_name
from contentdb.logs import swallow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from contentdb.files import Directory
    from contentdb.local.resources import Parts

__all__ = ["LEFT", "TEMPORARY", "Scratch", "Temporary", "dead_temporaries", "remove_temporary"]

LEFT: Final = "a temporary file could not be removed; the next opening removes it"


class Temporary:
    """A file that will become a blob; it has no name where the filesystem allows that.

    A `contentdb.local.commit.publish.Unpublished`; `close` removes the name that it has elsewhere.
    """

    __slots__ = ("_name", "_parts", "_pid", "fd", "path")

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._pid = os.getpid()
        self._name: str | None = None
        fd = files.create_unnamed(parts.ingest)
        if fd is None:
            self._name = TEMPORARY + os.urandom(16).hex()
            fd = locks.create(parts.ingest, self._name)
        self.fd = fd
        self.path = parts.ingest.child(self._name or "(unnamed)")

    def seal(self, now_ns: int) -> None:
        """Give the file the mode and the time of a blob."""
        files.seal(self.fd, self.path, now_ns)

    def sync(self) -> None:
        """Put the bytes on disk, if the store is durable."""
        if self._parts.durable:
            files.sync(self.fd, self.path)

    def content(self) -> bytes:
        """Return all bytes of the file."""
        return files.read_from_start(self.fd, self.path)

    def take_away(self) -> None:
        """Do nothing: the file has no name of its own, or `close` removes it."""

    def link(self, directory: Directory, name: str) -> bool:
        """Link the file under a name; return False if the name is taken."""
        if self._name is not None:
            return files.link(self._parts.ingest, self._name, directory, name)
        try:
            return files.link_unnamed(self.fd, directory, name)
        except StorageError as error:
            # Linux links such a file only while it never had a name: after a delete, it is copied.
            if error.errno != errno.ENOENT or not self._copy_nameless():
                raise
        return files.link_unnamed(self.fd, directory, name)

    def _copy_nameless(self) -> bool:
        """Replace the file by a copy without a name, as durable; return False if impossible."""
        fd = files.create_unnamed(self._parts.ingest)
        if fd is None:
            return False
        try:
            os.lseek(self.fd, 0, os.SEEK_SET)
            files.copy(self.fd, fd, self.path)
            # The same time: by it a commit knows a row that upkeep has made of its file.
            files.seal(fd, self.path, files.stat_open(self.fd, self.path).st_mtime_ns)
            if self._parts.durable:
                files.sync(fd, self.path)
        except BaseException:
            files.let_go(fd)
            raise
        old, self.fd = self.fd, fd
        files.let_go(old)
        return True

    def close(self) -> None:
        """Close the file; the names that `link` gave it stay."""
        if self._name is None:
            files.let_go(self.fd)
        else:
            try:
                files.unlink(self._parts.ingest, self._name)
            finally:
                locks.release(self.fd)
            self._name = None

    def __del__(self) -> None:
        """Remove the temporary name, if an exception kept `close` from removing it."""
        name = getattr(self, "_name", None)  # an exception may have cut `__init__` off
        if name is not None and self._pid == os.getpid():
            with swallow("local.commit", LEFT, ContentDBError, file=name):
                files.unlink(self._parts.ingest, name)


class Scratch:
    """Temporary files in ``ingest/``; the lock of one of them shows that their owner lives."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._pid = os.getpid()
        self._lock_name = TEMPORARY + os.urandom(16).hex()
        self._lock: int | None = None
        self._count = 0
        self._has_files = False
        self._latest: str | None = None
        """The newest file, until an item takes it."""

    def create(self) -> tuple[str, int]:
        """Create a file, open for writing; return its name and descriptor."""
        self._has_files = True
        if self._lock is None:
            self._create_lock()
        self._count += 1
        name = self._latest = f"{self._lock_name}-{self._count:x}"
        return name, files.open_file(self._parts.ingest, name, os.O_RDWR | os.O_CREAT | os.O_EXCL)

    def _create_lock(self) -> None:
        """Create the lock, unless a signal handler that uses this group does so meanwhile.

        Raises:
            ReentrantCallError: This is the handler, and its thread is about to create it.
        """
        try:
            self._lock = locks.create(self._parts.ingest, self._lock_name)
        except StorageError as error:
            if error.errno != errno.EEXIST:  # the name is random: no other call has it
                raise
            if self._lock is None:
                raise ReentrantCallError(self._parts.ingest.path) from error

    def take(self) -> None:
        """Leave the newest file to an item, which removes or renames it."""
        self._latest = None

    def close(self) -> None:
        """Remove the lock; the items must have renamed or removed their files before."""
        if not self._has_files:
            return
        try:
            for name in filter(None, (self._latest, self._lock_name)):
                with swallow("local.commit", LEFT, ContentDBError, file=name):
                    files.unlink(self._parts.ingest, name)
        finally:
            if self._lock is not None:
                locks.release(self._lock)
        self._lock = self._latest = None
        self._has_files = False

    def __del__(self) -> None:
        """Remove what an exception kept `close` from removing, in the process that made it."""
        if not getattr(self, "_has_files", False) or self._pid != os.getpid():
            return
        with swallow("local.commit", LEFT, ContentDBError, file=self._lock_name):
            for entry in files.entries(self._parts.ingest):
                if entry.name.startswith(self._lock_name):
                    files.unlink(self._parts.ingest, entry.name)
        self.close()


def dead_temporaries(parts: Parts) -> Iterator[str]:
    """Yield the names of temporary files in ``ingest/`` whose owner is dead."""
    alive: dict[str, bool] = {}
    for entry in files.entries(parts.ingest):
        if entry.name.startswith(TEMPORARY):
            lock = lock_name(entry.name)
            if lock not in alive:
                alive[lock] = locks.is_held(parts.ingest, lock)
            if not alive[lock]:
                yield entry.name


def remove_temporary(parts: Parts, name: str) -> bool:
    """Remove one of `dead_temporaries`; return False if its owner lives and just took its lock."""
    if not locks.remove_dead(parts.ingest, lock_name(name)):
        return False
    files.unlink(parts.ingest, name)
    return True
