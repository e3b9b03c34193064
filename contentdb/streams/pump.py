"""Copying a stream into a sink: the next piece is read while the last one is hashed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

__all__ = ["PIECE_BYTES", "Taker", "pump"]

PIECE_BYTES: Final = 1 << 20
"""Size of the pieces in which streams are read."""


@runtime_checkable
class Taker(Protocol):
    """A sink that takes pieces, and tells when their buffers may be reused."""

    def feed(self, data: Buffer, /) -> object:
        """Take a piece; the caller must not change it until `settle`."""
        ...

    def settle(self, *, pending: int = 0) -> None:
        """Wait until at most ``pending`` pieces are in use."""
        ...


def pump(read_into: Callable[[memoryview], int], sink: Taker, most: int | None = None) -> None:
    """Copy a stream to its end, or up to ``most`` bytes, reading while the last piece is hashed.

    Args:
        read_into: Fills a buffer, perhaps in part, and returns the count of bytes; 0 at the end.
        sink: Gets the pieces.
        most: Limit of bytes to read.
    """
    # No larger than needed: to zero two pieces of 1 MiB costs the ingest of a small file 1 ms.
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
        sink.settle(pending=1)  # now the other buffer may be reused
        buffers.reverse()
    sink.settle()
