"""Compares a source with the bytes of an ingest that a server already has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentdb.digest import Digest, Hasher
from contentdb.remote.believing import as_digest, nonsense
from contentdb.streams.pump import PIECE_BYTES
from contentdb.wire import content_pb2 as wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

    from contentdb.streams.origin import Origin

__all__ = ["Comparison", "Nothing", "begins_with"]


def begins_with(origin: Origin, size: int, digest: Digest) -> bool:
    """Return whether a source's first ``size`` bytes have a digest, without sending them."""
    fill = origin.start()
    hasher = Hasher(digest.algorithm)
    buffer = memoryview(bytearray(min(size, PIECE_BYTES)))
    left = size
    while left:
        count = fill(buffer[:left])
        if not count:
            return False
        hasher.update(buffer[:count])
        left -= count
    return hasher.digest == digest


class Comparison:
    """Sends a source to a contentdb server, which compares it; see `contentdb.streams.resume`."""

    def __init__(
        self,
        ask: Callable[[wire.WriteContentRequest], wire.WriteContentResponse],
        ref: str,
        held: int,
        keep: Callable[[int], None],
    ) -> None:
        """Compare with ``held`` bytes; ``keep`` truncates the ingest to a number of bytes."""
        self._ask = ask
        self._ref = ref
        self._held = held
        self._keep = keep
        self.size = 0
        self.digest = self._send(b"")

    @property
    def left(self) -> int:
        """Bytes of the ingest that were not compared yet."""
        return self._held - self.size

    def compare(self, data: Buffer) -> int:
        """Compare the next bytes of the source; return how many are the same as the ingest's."""
        before, view = self.size, memoryview(data).cast("B")[: self.left]
        for at in range(0, len(view), PIECE_BYTES):
            piece = bytes(view[at : at + PIECE_BYTES])
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
        """Truncate the ingest after the bytes that are the same; the next write appends there."""
        self._keep(self.size)


class Nothing:
    """The comparison for a server that cannot compare: it finds no byte the same."""

    def __init__(self, held: int, drop: Callable[[], object]) -> None:
        self.left = held
        self.size = 0
        self.digest = Digest.of(b"")
        self._drop = drop

    def compare(self, _data: Buffer) -> int:
        """Return 0: no byte counts as the same."""
        return 0

    def end(self) -> None:
        """Drop all bytes of the ingest."""
        self._drop()
