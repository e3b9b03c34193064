"""A source compared with what an earlier try left of an ingest on a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from contentdb.digest import Digest, Hasher
from contentdb.remote.believing import as_digest, nonsense
from contentdb.wire import content_pb2 as wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

    from contentdb.streams.source import Origin

__all__ = ["Comparison", "Nothing", "begins_with"]

_PIECE_BYTES: Final = 1024 * 1024


def begins_with(origin: Origin, size: int, digest: Digest) -> bool:
    """Whether a source's first bytes have a digest: then they need not be sent to be compared."""
    fill = origin.start()
    hasher = Hasher(digest.algorithm)
    buffer = memoryview(bytearray(min(size, _PIECE_BYTES)))
    left = size
    while left:
        count = fill(buffer[:left])
        if not count:
            return False
        hasher.update(buffer[:count])
        left -= count
    return hasher.digest == digest


class Comparison:
    """Sends the source to a contentdb server, which compares it; see `contentdb.streams.resume`."""

    def __init__(
        self,
        ask: Callable[[wire.WriteContentRequest], wire.WriteContentResponse],
        ref: str,
        held: int,
        keep: Callable[[int], None],
    ) -> None:
        """``held`` bytes are there; ``keep`` drops what is behind so many of them."""
        self._ask = ask
        self._ref = ref
        self._held = held
        self._keep = keep
        self.size = 0
        self.digest = self._send(b"")

    @property
    def left(self) -> int:
        """Bytes that are there and were not compared yet."""
        return self._held - self.size

    def compare(self, data: Buffer) -> int:
        """Compare the next bytes of the source; how many of them are there."""
        before, view = self.size, memoryview(data).cast("B")[: self.left]
        for at in range(0, len(view), _PIECE_BYTES):
            piece = bytes(view[at : at + _PIECE_BYTES])
            self.digest = self._send(piece)
            if self.size != before + at + len(piece):
                break
        return self.size - before

    def _send(self, piece: bytes) -> Digest:
        request = wire.WriteContentRequest(action=wire.COMPARE, ref=self._ref, data=piece)
        answer = self._ask(request)
        if not self.size <= answer.offset <= self.size + len(piece):
            raise nonsense(f"{answer.offset} bytes that are the same, of {self.size + len(piece)}")
        self.size = answer.offset
        return as_digest(answer.digest)

    def end(self) -> None:
        """Keep what is the same alone; the next byte that is written goes behind it."""
        self._keep(self.size)


class Nothing:
    """The comparison where a server cannot compare: nothing is found to be the same."""

    def __init__(self, held: int, drop: Callable[[], object]) -> None:
        self.left = held
        self.size = 0
        self.digest = Digest.of(b"")
        self._drop = drop

    def compare(self, _data: Buffer) -> int:
        """Say that no byte is the same."""
        return 0

    def end(self) -> None:
        """Start over."""
        self._drop()
