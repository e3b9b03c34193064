"""A stream into a sink: the next piece is read while the last one is hashed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

__all__ = ["PIECE_BYTES", "Taker", "pump"]

PIECE_BYTES: Final = 1 << 20
"""What streams are read in."""


@runtime_checkable
class Taker(Protocol):
    """Where a stream goes: takes pieces, and says when their buffers are free again."""

    def feed(self, data: Buffer, /) -> object:
        """Take a piece that stays as it is until `settle`."""
        ...

    def settle(self, *, pending: int = 0) -> None:
        """Return when no more than so many pieces are in use."""
        ...


def pump(read_into: Callable[[memoryview], int], sink: Taker, most: int | None = None) -> None:
    """Take a stream in to its end, or to ``most`` bytes, reading while the last piece is hashed.

    Args:
        read_into: Fills a buffer as far as it likes and returns the bytes; 0 at the end.
        sink: Where they go.
        most: After so many bytes nothing more is read.
    """
    # No larger than needed: two pieces of zeros cost a small file's ingest 1 ms.
    size = PIECE_BYTES if most is None else min(PIECE_BYTES, most)
    buffers = [memoryview(bytearray(size)) for _ in range(2)]
    taken = 0
    while most is None or taken < most:
        buffer = buffers[0] if most is None else buffers[0][: most - taken]
        count = read_into(buffer)
        if not count:
            return
        sink.feed(buffer[:count])
        taken += count
        sink.settle(pending=1)  # the other buffer is free again
        buffers.reverse()
    sink.settle()
