"""A seekable stream over one blob: it reads ahead, and verifies what is read from its start."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Final, NoReturn

from contentdb import forks
from contentdb.cluster.fetch import MissingError, fetch
from contentdb.content import Reader
from contentdb.digest import MISMATCH, new_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Buffer

    from contentdb.cluster.extents import Place
    from contentdb.cluster.resources import Resources
    from contentdb.digest import Digest

    Damaged = Callable[[Digest, Place, str], NoReturn]
    """A function of digest, place and reason that records the damage and raises the error."""

__all__ = ["ClusterReader"]

_LINE_BYTES: Final = 8192
_FIRST_BYTES: Final = 256 << 10
_MOST_BYTES: Final = 8 << 20


class ClusterReader(Reader):
    """A `contentdb.content.Reader`; for one thread at a time.

    A read that follows the last one is served from a window, which grows from 256 KiB to 8 MiB.
    """

    def __init__(
        self,
        resources: Resources,
        digest: Digest,
        size: int,
        place: Place,
        damaged: Damaged,
        *,
        verify: bool,
    ) -> None:
        super().__init__()
        self._resources = resources
        self._digest = digest
        self._size = size
        self._place = place
        self._damaged = damaged
        self._pid = os.getpid()
        self._at = 0
        self._hash = new_hash(digest.algorithm) if verify else None
        self._hashed = 0
        self._torn = False
        """Whether the hash may include bytes that `_hashed` does not count."""
        self._window = memoryview(place.inline or b"")
        self._window_at = 0
        self._ahead_bytes = _FIRST_BYTES

    def __reduce__(self) -> NoReturn:
        """Raise `TypeError`: its connections belong to this process."""
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

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to ``size`` bytes; to the end for None or a negative size.

        Raises:
            CorruptBlobError: The whole blob was read and does not match its digest.
        """
        self._check_open()
        left = max(0, self._size - self._at)
        wanted = left if size is None or size < 0 else min(size, left)
        data = self._bytes(self._at, wanted)
        self._advance(data)
        return data

    def readall(self) -> bytes:
        """Read to the end."""
        return self.read()

    def readline(self, size: int | None = -1, /) -> bytes:
        """Read up to a newline, the end, or ``size`` bytes."""
        self._check_open()
        left = max(0, self._size - self._at)
        most = left if size is None or size < 0 else min(size, left)
        looked = 0
        while looked < most:
            ahead = self._bytes(self._at + looked, min(_LINE_BYTES, most - looked))
            newline = ahead.find(b"\n")
            if newline >= 0:
                return self.read(looked + newline + 1)
            looked += len(ahead)
        return self.read(most)

    def readinto(self, buffer: Buffer, /) -> int:
        """Read into a buffer and return the count of bytes; 0 at the end."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    # -- bytes ---------------------------------------------------------------------------------

    def _bytes(self, offset: int, size: int) -> bytes:
        """Return bytes from the window, or from the object store and with them the next window."""
        begin = offset - self._window_at
        if begin >= 0 and begin + size <= len(self._window):
            return bytes(self._window[begin : begin + size])
        follows = 0 <= begin <= len(self._window)
        head = self._window[begin:] if follows else self._window[:0]
        if size - len(head) >= self._ahead_bytes:  # larger than a window: nothing is kept of it
            return b"".join((head, *self._fetch(offset + len(head), size - len(head))))
        more = min(self._ahead_bytes, self._size - offset - len(head))
        if follows or not offset:
            self._ahead_bytes = min(2 * self._ahead_bytes, _MOST_BYTES)
        else:
            self._ahead_bytes = _FIRST_BYTES
            more = min(size, self._size - offset)  # a jump: perhaps nothing follows
        window = b"".join((head, *self._fetch(offset + len(head), more)))
        self._window, self._window_at = memoryview(window), offset
        return bytes(self._window[:size])

    def _fetch(self, offset: int, size: int) -> Iterator[bytes]:
        try:
            yield from fetch(self._resources, self._place, offset, size)
        except MissingError as error:
            self._damaged(self._digest, self._place, f"object {error} is gone or cut off")

    def _advance(self, data: bytes) -> None:
        """Hash bytes that were read in order; at the end of a bad blob raise before returning."""
        count = len(data)
        if self._hash is None or self._at != self._hashed:
            self._at += count
            return
        if self._torn:
            self._rehash()
        self._torn = True
        self._hash.update(data)
        at_end = self._hashed + count == self._size
        if at_end and self._hash.hexdigest() != self._digest.encoded:
            self._damaged(self._digest, self._place, MISMATCH)
        self._at = self._hashed = self._hashed + count
        self._torn = False

    def _rehash(self) -> None:
        """Hash the bytes read so far again, after an exception in the midst of a read."""
        running = new_hash(self._digest.algorithm)
        for piece in self._fetch(0, self._hashed):
            running.update(piece)
        self._hash = running

    # -- position ------------------------------------------------------------------------------

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move the position; bytes read after a gap are not verified."""
        self._check_open()
        bases = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}
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

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError(f"the reader of {self._digest} is closed")
        forks.check()
        if self._pid != os.getpid():
            raise ValueError(f"the reader of {self._digest} belongs to the parent of this process")
