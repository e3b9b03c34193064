"""Reading a blob: a stream that verifies bytes read from the beginning to the end."""

from __future__ import annotations

import os
from abc import abstractmethod

from contentdb import files
from contentdb.content import Reader
from contentdb.digest import MISMATCH, new_hash
from contentdb.light_typing import TYPE_CHECKING
from contentdb.streams.pump import PIECE_BYTES

if TYPE_CHECKING:
    import hashlib
    from collections.abc import Callable, Iterable, Iterator
    from typing import Final, NoReturn

    from typing_extensions import Buffer

    from contentdb.digest import Digest

    Damaged = Callable[[int, Digest, str], NoReturn]
    """A function of descriptor, digest and reason that records the damage and raises the error."""

__all__ = ["BlobReader", "VerifyingReader", "read_whole"]


_LINE_BYTES: Final = 8192
"""How many bytes `readline` reads at once to find a newline."""


class VerifyingReader(Reader):
    """Position, lines and verification, over bytes that a subclass gets from their place."""

    def __init__(self, digest: Digest, size: int, *, verify: bool) -> None:
        super().__init__()
        self._digest = digest
        self._size = size
        self._at = 0
        self._hash = new_hash(digest.algorithm) if verify else None
        self._hashed = 0
        self._torn = False
        """Whether the hash may include bytes that `_hashed` does not count."""

    def __reduce__(self) -> NoReturn:
        """Raise `TypeError`: the open file, or the connections, belong to this process."""
        raise TypeError(
            f"the reader of {self._digest} cannot be pickled or copied; open the blob again "
            "from a store that was"
        )

    @property
    def digest(self) -> Digest:
        """The blob's address."""
        return self._digest

    @property
    def size(self) -> int:
        """Length of the blob in bytes."""
        return self._size

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    @abstractmethod
    def _bytes(self, offset: int, size: int) -> bytes:
        """Return bytes of the blob; fewer only where it is cut off."""

    @abstractmethod
    def _begin(self, size: int) -> Iterable[bytes]:
        """Yield the first bytes of the blob in pieces, to hash them again."""

    @abstractmethod
    def _mismatch(self) -> NoReturn:
        """Record that the bytes do not match the digest, and raise `CorruptBlobError`."""

    def _check_open(self) -> None:
        """Raise `ValueError` if this reader is closed."""
        if self.closed:
            raise ValueError(f"the reader of {self._digest} is closed")

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to ``size`` bytes; to the end for None or a negative size.

        Raises:
            CorruptBlobError: The whole blob was read and does not match its digest.
        """
        self._check_open()
        wanted = self._most(size)
        data = self._bytes(self._at, wanted)
        self._advance(data, wanted)
        return data

    def readall(self) -> bytes:
        """Read to the end."""
        return self.read()

    def readline(self, size: int | None = -1, /) -> bytes:
        """Read up to a newline, the end, or ``size`` bytes."""
        self._check_open()
        most = self._most(size)
        looked = 0
        while looked < most:
            ahead = self._bytes(self._at + looked, min(_LINE_BYTES, most - looked))
            newline = ahead.find(b"\n")
            if newline >= 0:
                return self.read(looked + newline + 1)
            if not ahead:
                break
            looked += len(ahead)
        return self.read(most)

    def readinto(self, buffer: Buffer, /) -> int:
        """Read into a buffer and return the count of bytes; 0 at the end."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def _most(self, size: int | None) -> int:
        left = max(0, self._size - self._at)
        return left if size is None or size < 0 else min(size, left)

    def _advance(self, data: bytes, wanted: int) -> None:
        """Hash bytes that were read in order; at the end of a bad blob raise before returning."""
        count = len(data)
        if self._hash is None or self._at != self._hashed:
            self._at += count
            return
        if self._torn:
            self._hash = self._rehash()
        self._torn = True
        self._hash.update(data)
        at_end = self._hashed + count == self._size or count < wanted
        if at_end and self._hash.hexdigest() != self._digest.encoded:
            self._mismatch()
        self._at = self._hashed = self._hashed + count
        self._torn = False

    def _rehash(self) -> hashlib._Hash:
        """Hash the bytes read so far again, after an exception in the midst of a read."""
        running = new_hash(self._digest.algorithm)
        for piece in self._begin(self._hashed):
            running.update(piece)
        return running

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move the position; bytes read after a gap are not verified."""
        self._check_open()
        bases = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}
        if whence not in bases:
            raise ValueError(f"whence is 0, 1 or 2, not {whence!r}")
        base = bases[whence]
        if not 0 <= base + offset < 1 << 63:
            raise ValueError(f"cannot seek to {base + offset}, which is no place in a file")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """Return the position of the next read."""
        return self._at


class BlobReader(VerifyingReader):
    """A seekable binary stream over one blob; see `contentdb.content.Reader`."""

    def __init__(self, fd: int, digest: Digest, damaged: Damaged, *, verify: bool) -> None:
        """Take over the descriptor; ``damaged`` is called if the bytes do not match."""
        self._fd = fd  # first: `close` lets go of it, also if the next line raises
        super().__init__(digest, files.stat_open(fd, digest).st_size, verify=verify)
        self._damaged = damaged

    def fileno(self) -> int:
        """Return the descriptor, for sendfile(2) and the like; reads through it are unverified."""
        self._check_open()
        return self._fd

    def _bytes(self, offset: int, size: int) -> bytes:
        data = files.read_at(self._fd, size, offset, self._digest)
        while len(data) < size and (
            more := files.read_at(self._fd, size - len(data), offset + len(data), self._digest)
        ):
            data += more
        return data

    def _begin(self, size: int) -> Iterator[bytes]:
        at = 0
        while at < size and (piece := self._bytes(at, min(PIECE_BYTES, size - at))):
            yield piece
            at += len(piece)

    def _mismatch(self) -> NoReturn:
        self._damaged(self._fd, self._digest, MISMATCH)

    def close(self) -> None:
        """Close the descriptor; a second call does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            files.let_go(fd)
        super().close()

    def _check_open(self) -> None:
        if self._fd < 0:
            raise ValueError(f"the reader of {self._digest} is closed")


def read_whole(fd: int, digest: Digest, damaged: Damaged) -> bytes:
    """Read an open blob to its end and check its digest; the caller closes the descriptor."""
    size = files.stat_open(fd, digest).st_size
    data = files.read(fd, size + 1, digest)
    if len(data) != size:
        pieces = [data]
        while piece := files.read(fd, PIECE_BYTES, digest):
            pieces.append(piece)
        data = b"".join(pieces)
    if not digest.matches(data):
        damaged(fd, digest, MISMATCH)
    return data
