"""The floor: the same bytes by hand-written Python and no database, in each durability.

Hash, temporary file, write, [fsync], rename, [fsync of the directory]. Directory descriptors are
kept open and the shards exist beforehand: what is left is what no store on files can avoid.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import sqlite3
from typing import TYPE_CHECKING

from benchmarks.material import CHUNK, batched
from benchmarks.subject import Entry, Subject

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import BinaryIO

__all__ = ["ENTRIES", "sync_all"]

_GROUP = 1000
_STEP = 4 << 20
_SHARDS = [f"{number:02x}" for number in range(256)]
_libc = ctypes.CDLL(None, use_errno=True)


def sync_all(directory: Path) -> None:
    """Write back what the filesystem still holds, so that the next measurement starts even."""
    fd = os.open(directory, os.O_RDONLY)
    try:
        if _libc.syncfs(fd):
            raise OSError(ctypes.get_errno(), "syncfs", str(directory))
    finally:
        os.close(fd)


class Floor(Subject):
    """Files named by their sha256 in 256 shards."""

    sync_file = False
    sync_directory = False

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._shards: dict[str, int] = {}
        self._name = f"{os.getpid()}-{id(self)}-"
        self._count = iter(range(1 << 62))
        (directory / "part").mkdir(parents=True, exist_ok=True)
        for shard in _SHARDS:
            path = directory / "blobs" / shard
            path.mkdir(parents=True, exist_ok=True)
            self._shards[shard] = os.open(path, os.O_RDONLY)

    def close(self) -> None:
        """Close the directories."""
        while self._shards:
            os.close(self._shards.popitem()[1])

    def path(self, key: str) -> str:
        """Give the file of an object."""
        return f"{self.directory}/blobs/{key[:2]}/{key}"

    def _create(self) -> tuple[str, int]:
        temporary = f"{self.directory}/part/{self._name}{next(self._count)}"
        return temporary, os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)

    def _publish(self, temporary: str, fd: int, key: str) -> str:
        if self.sync_file:
            os.fsync(fd)
        os.close(fd)
        os.rename(temporary, self.path(key))  # noqa: PTH104 - no Path in between
        if self.sync_directory:
            os.fsync(self._shards[key[:2]])
        return key

    def put(self, data: bytes) -> str:
        """Store one object."""
        key = hashlib.sha256(data).hexdigest()
        temporary, fd = self._create()
        os.write(fd, data)
        return self._publish(temporary, fd, key)

    def put_known(self, data: bytes, key: str) -> None:  # noqa: ARG002 - the bytes are not needed
        """Only look whether it is there."""
        os.stat(key)  # noqa: PTH116 - no Path in between

    def put_stream(self, stream: BinaryIO) -> str:
        """Hash and write one after the other, through one buffer."""
        hasher = hashlib.sha256()
        temporary, fd = self._create()
        buffer = memoryview(bytearray(CHUNK))
        while count := stream.readinto(buffer):  # type: ignore[attr-defined] # a raw stream has it
            hasher.update(buffer[:count])
            os.write(fd, buffer[:count])
        return self._publish(temporary, fd, hasher.hexdigest())

    def begin(self, name: str, data: bytes) -> None:
        """Leave a part in a file."""
        (self.directory / "part" / name).write_bytes(data)

    def finish(self, name: str, data: bytes) -> str:
        """Hash the part that is there, then go on."""
        temporary = f"{self.directory}/part/{name}"
        fd = os.open(temporary, os.O_RDWR)
        hasher = hashlib.sha256()
        while piece := os.read(fd, CHUNK):
            hasher.update(piece)
        hasher.update(data)
        os.write(fd, data)
        os.fchmod(fd, 0o444)
        return self._publish(temporary, fd, hasher.hexdigest())

    def get(self, key: str) -> bytes:
        """``open().read()``; here the key is the path."""
        with open(key, "rb") as file:  # noqa: PTH123 - the fastest that Python has
            return file.read()

    def listing(self) -> Iterator[tuple[str, int]]:
        """``scandir`` and ``stat``."""
        for shard in _SHARDS:
            with os.scandir(f"{self.directory}/blobs/{shard}") as found:
                for entry in found:
                    yield entry.name, entry.stat().st_size

    def delete(self, key: str) -> None:
        """Unlink, and sync the directory if this floor does."""
        os.unlink(self.path(key))  # noqa: PTH108 - no Path in between
        if self.sync_directory:
            os.fsync(self._shards[key[:2]])


class FileSync(Floor):
    """With fsync of the file."""

    sync_file = True


class BothSync(FileSync):
    """With fsync of the file and of the directory."""

    sync_directory = True


class GroupSync(Floor):
    """One ``syncfs`` for a thousand objects."""

    def put_many(self, items: Iterable[bytes]) -> Iterator[str]:
        """Give the keys of a group when it is durable."""
        for group in batched(items, _GROUP):
            keys = [self.put(data) for data in group]
            sync_all(self.directory)
            yield from keys


class Append(Floor):
    """One file for all objects, filled with zeros ahead: append and ``fdatasync``, no name."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._file = os.open(directory / "part" / "pack", os.O_RDWR | os.O_CREAT, 0o600)
        self._end = self._size = 0

    def put(self, data: bytes) -> str:
        """Append one object behind its digest."""
        digest = hashlib.sha256(data)
        record = digest.digest() + data
        if self._end + len(record) > self._size:
            os.pwrite(self._file, bytes(_STEP), self._size)
            self._size += _STEP
        os.pwrite(self._file, record, self._end)
        os.fdatasync(self._file)
        self._end += len(record)
        return digest.hexdigest()

    def close(self) -> None:
        """Close the file too."""
        os.close(self._file)
        super().close()


class HashOnly(Floor):
    """Hashes and forgets."""

    def put_stream(self, stream: BinaryIO) -> str:
        """Hash through one buffer."""
        hasher = hashlib.sha256()
        buffer = memoryview(bytearray(CHUNK))
        while count := stream.readinto(buffer):  # type: ignore[attr-defined] # a raw stream has it
            hasher.update(buffer[:count])
        return hasher.hexdigest()


class WriteOnly(Floor):
    """Writes without looking."""

    def put_stream(self, stream: BinaryIO) -> str:
        """Write through one buffer, to a name that is no digest."""
        temporary, fd = self._create()
        buffer = memoryview(bytearray(CHUNK))
        while count := stream.readinto(buffer):  # type: ignore[attr-defined] # a raw stream has it
            os.write(fd, buffer[:count])
        return self._publish(temporary, fd, f"00{next(self._count)}")


class WriteSync(WriteOnly):
    """Writes without looking, with fsync of the file."""

    sync_file = True


class Rows(Subject):
    """The rows of an index read by plain `sqlite3`: what a listing cannot beat."""

    def listing(self) -> Iterator[tuple[str, int]]:
        """``SELECT digest, size ORDER BY digest``."""
        with sqlite3.connect(f"file:{self.directory}/index.sqlite?mode=ro", uri=True) as database:
            yield from database.execute("SELECT digest, size FROM blobs ORDER BY namespace, digest")
        database.close()


ENTRIES = (
    Entry("floor, no sync", "floor", "no", Floor),
    Entry("floor, file", "floor", "file", FileSync),
    Entry("floor, file + directory", "floor", "yes", BothSync),
    Entry("floor, syncfs per 1,000", "floor", "per group", GroupSync),
    Entry("floor, append", "floor", "yes", Append),
    Entry("hashing alone", "floor", "-", HashOnly),
    Entry("writing alone", "floor", "no", WriteOnly),
    Entry("writing alone, fsync", "floor", "file", WriteSync),
    Entry("SELECT by sqlite3", "floor", "-", Rows),
)
