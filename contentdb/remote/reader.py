"""Reads one blob over the network, as a seekable stream."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from contentdb.content import Reader
from contentdb.digest import Digest, Hasher
from contentdb.errors import CorruptBlobError
from contentdb.wire import content_pb2 as wire

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from contentdb.remote.calling import Stream
    from contentdb.remote.channel import Channel

__all__ = ["RemoteReader"]


class RemoteReader(Reader):
    """A `contentdb.content.Reader`.

    It opens its stream at once, so that reading goes on if the blob is deleted meanwhile. A seek
    opens another stream.
    """

    def __init__(self, channel: Channel, digest: Digest, size: int, *, verify: bool) -> None:
        super().__init__()
        self._digest = digest
        self._size = size
        self._channel = channel
        self._at = 0
        self._verify = verify
        self._rest = memoryview(b"")
        self._stream: Stream[wire.ReadContentResponse] | None = None
        self._hasher: Hasher | None = None
        self._interrupted = False
        """Whether an exception may have interrupted a read: the next read opens a new stream."""
        self._start()

    @property
    def digest(self) -> Digest:
        """The blob's address."""
        return self._digest

    @property
    def size(self) -> int:
        """Length of the blob in bytes, as the server reported it at the opening."""
        return self._size

    def _start(self) -> None:
        """Open a stream at the current position and wait until the server has opened the file."""
        self._hasher = Hasher(self.digest.algorithm) if self._verify and not self._at else None
        self._open_at(self._at)

    def _open_at(self, place: int) -> None:
        self._stop()
        self._rest = memoryview(b"")
        request = wire.ReadContentRequest(digest=self.digest, offset=place)
        self._stream = self._channel.read(request) if place < self.size else None
        self._fill()

    def _reopen(self) -> None:
        """Open a stream at the current position; re-read all bytes before it if they are hashed."""
        place = self._at
        if self._verify and (self._hasher is not None or not place):
            self._hasher, place = Hasher(self.digest.algorithm), 0
        self._open_at(place)
        while place < self._at:
            place += len(self._piece(place, self._at - place))

    def _fill(self) -> None:
        if self._stream is None:
            return
        # A message may be empty without being the last.
        with self._channel.translate_errors(digest=self.digest):
            data = next((one.data for one in self._stream if one.data), b"")
        self._rest = memoryview(data)

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill a buffer; the read that reaches the end raises if the digest does not match."""
        self._check_open()
        into = memoryview(buffer).cast("B")
        piece = self._advance(min(len(into), self._left))
        into[: len(piece)] = piece
        return len(piece)

    def read(self, size: int | None = -1, /) -> bytes:
        """Read ``size`` bytes, fewer only at the end; None or a negative size reads the rest."""
        self._check_open()
        wanted = self._left if size is None or size < 0 else min(size, self._left)
        pieces = [self._advance(wanted)]  # only received bytes take memory, not the claimed size
        while wanted := wanted - len(pieces[-1]):
            pieces.append(self._advance(wanted))
        return b"".join(pieces)

    @property
    def _left(self) -> int:
        return max(0, self.size - self._at)

    def _advance(self, most: int) -> memoryview:
        """Advance by the bytes at hand, at most ``most``; at least one if any are left."""
        if self._interrupted:
            self._reopen()
        self._interrupted = True
        piece = self._piece(self._at, most)
        self._at += len(piece)
        self._interrupted = False
        return piece

    def _piece(self, place: int, most: int) -> memoryview:
        """Return bytes at ``place``, which must be the stream's position."""
        if most and not self._rest:
            self._fill()
        if most and not self._rest:
            raise CorruptBlobError(self.digest, "remote", "it ends too early")
        if len(self._rest) > max(0, self.size - place):
            raise CorruptBlobError(self.digest, "remote", f"it is more than {self.size} bytes")
        piece, rest = self._rest[:most], self._rest[most:]
        if self._hasher is not None:
            self._hasher.update(piece)
            self._check_end(place + len(piece))
        self._rest = rest
        return piece

    def _check_end(self, at: int) -> None:
        if at == self.size and self._hasher is not None and self._hasher.digest != self.digest:
            raise CorruptBlobError(self.digest, "remote", f"its bytes are {self._hasher.digest}")

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError(f"the reader of {self.digest} is closed")
        self._channel.check()

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a position; reads after it are verified only if it is 0."""
        self._check_open()
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise ValueError(f"negative seek position {base + offset}")
        if base + offset != self._at:
            self._interrupted = True
            self._at = base + offset
            self._start()
            self._interrupted = False
        return self._at

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._at

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def close(self) -> None:
        """End the stream; twice is harmless."""
        self._stop()
        super().close()

    def _stop(self) -> None:
        if self._stream is not None:
            self._stream.cancel()
            self._stream = None
