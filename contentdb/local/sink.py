"""Write bytes to an open file, and hash them on the way.

The disk begins to write long before the sync at the end.
"""

from __future__ import annotations

import os

import xxhash

from contentdb import files
from contentdb.digest import DEFAULT_ALGORITHM, Digest, new_hash, signed
from contentdb.errors import StorageError
from contentdb.light_typing import TYPE_CHECKING
from contentdb.streams.pump import PIECE_BYTES, count_common

if TYPE_CHECKING:
    from typing import Final

    from typing_extensions import Buffer

    from contentdb.streams.hashing import HashThread

__all__ = ["Sink"]

_OVERLAP_BYTES: Final = 256 * 1024
"""Smaller pieces are hashed in the caller's thread: a hand-over costs more than it saves."""

_WRITE_BACK_BYTES: Final = 8 << 20
"""Bytes written between two hints to the disk to begin."""


class Sink:
    """An open file that is being written, and the running hashes of all its bytes.

    A caller that writes large pieces must call `close` in the end, which leaves the file open.
    """

    __slots__ = ("_checksum", "_hash", "_hinted", "_path", "_thread", "_torn", "algorithm",
                 "durable", "fd", "size")  # fmt: skip

    def __init__(
        self, fd: int, path: str, algorithm: str = DEFAULT_ALGORITHM, *, durable: bool
    ) -> None:
        self.fd = fd
        self.size = 0
        """Bytes that reached the file."""
        self.durable = durable
        self.algorithm = algorithm
        self._path = path
        self._hash = new_hash(algorithm)
        self._checksum = xxhash.xxh3_64()
        self._hinted = 0
        self._thread: HashThread | None = None
        self._torn = False
        """Whether file, size and hashes may disagree, as after an exception in a signal handler."""

    @property
    def digest(self) -> Digest:
        """Digest of all bytes so far."""
        self.mend()
        self.settle()
        return Digest(f"{self.algorithm}:{self._hash.hexdigest()}")

    @property
    def checksum(self) -> int:
        """XXH3-64 of all bytes so far, as a signed 64-bit integer."""
        return signed(self._checksum.intdigest())

    def write(self, data: Buffer) -> int:
        """Write all of the buffer; the caller may change it afterwards.

        Raises:
            StorageError: The bytes that had reached the file are counted and hashed.
        """
        count = self.feed(data)
        self.settle()
        return count

    def feed(self, data: Buffer) -> int:
        """Do as `write`, but the buffer must not change until `settle`."""
        view = memoryview(data).cast("B")
        self.mend()
        began = self.size
        self._torn = True
        self._begin_hashing(view)
        try:
            while self.size - began < len(view):
                self.size += files.write(self.fd, view[self.size - began :], self._path)
        except StorageError:
            self.mend()
            raise
        self._checksum.update(view)
        self._torn = False
        if self.durable and self.size - self._hinted >= _WRITE_BACK_BYTES:
            files.start_write_back(self.fd, self._hinted, self.size - self._hinted)
            self._hinted = self.size
        return len(view)

    def _begin_hashing(self, view: memoryview) -> None:
        if len(view) < _OVERLAP_BYTES:
            self.settle()
            self._hash.update(view)
            return
        if self._thread is None:
            from contentdb.streams.hashing import HashThread  # small content needs none

            self._thread = HashThread(self._hash.update)
        self._thread.put(view)

    def truncate(self) -> None:
        """Remove all bytes and start again."""
        self._torn = True
        self.size = 0
        self.mend()

    def mend(self) -> None:
        """Make file and hashes agree again after an interrupted write.

        The hashes may cover bytes that are not in the file. The file may have bytes that were not
        counted, if a signal handler raised after the write.
        """
        if not self._torn:
            return
        counted = self.size
        try:
            files.truncate(self.fd, counted, self._path)
            self.restart(self.algorithm)
            self.take_what_is_there(counted)
        finally:
            self.size = counted
        self._torn = False

    def take_what_is_there(self, size: int) -> None:
        """Hash the file's bytes up to a size, without writing; the next write goes behind them."""
        os.lseek(self.fd, self.size, os.SEEK_SET)
        buffer = memoryview(bytearray(min(PIECE_BYTES, size)))
        while self.size < size:
            count = files.read_into(self.fd, buffer[: size - self.size], self._path)
            if not count:
                return
            self._hash.update(buffer[:count])
            self._checksum.update(buffer[:count])
            self.size += count

    def compare(self, data: Buffer) -> int:
        """Count and hash the leading bytes that the file has here already; return how many."""
        wanted = bytes(data)
        held = bytearray()
        while len(held) < len(wanted):
            at = self.size + len(held)
            piece = files.read_at(self.fd, len(wanted) - len(held), at, self._path)
            if not piece:
                break
            held += piece
        same = count_common(wanted, held)
        self._hash.update(wanted[:same])
        self._checksum.update(wanted[:same])
        self.size += same
        return same

    def cut(self) -> None:
        """Remove the file's bytes behind those that are counted, and write on from there."""
        self._torn = True
        files.truncate(self.fd, self.size, self._path)
        self._torn = False

    def restart(self, algorithm: str) -> None:
        """Begin new hashes; the file stays."""
        self.close()
        self.algorithm = algorithm
        self._hash = new_hash(algorithm)
        self._checksum = xxhash.xxh3_64()
        self.size = self._hinted = 0

    def settle(self, *, pending: int = 0) -> None:
        """Wait until at most ``pending`` pieces are still being hashed."""
        if self._thread is not None:
            self._thread.wait(pending=pending)

    def close(self) -> None:
        """End the hashing thread, if there was one; the file stays open."""
        if self._thread is not None:
            self._thread.wait()
            self._thread.stop()
            self._thread = None

    def forget(self) -> None:
        """Do as `close`, without waiting for the thread."""
        if self._thread is not None:
            self._thread.stop(join=False)
