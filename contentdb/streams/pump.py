"""Copying a stream into a sink: the next piece is read while the last one is hashed."""

from __future__ import annotations

from contentdb.light_typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from typing_extensions import Buffer

    from contentdb.content import Status
    from contentdb.declared import Declared
    from contentdb.digest import Digest

__all__ = ["PIECE_BYTES", "Comparing", "Taker", "Taking", "count_common", "pump"]

PIECE_BYTES: Final = 1 << 20
"""Size of the pieces in which streams are read."""


class Taker(Protocol):
    """A sink that takes pieces, and tells when their buffers may be reused."""

    def feed(self, data: Buffer, /) -> object:
        """Take a piece; the caller must not change it until `settle`."""
        ...

    def settle(self, *, pending: int = 0) -> None:
        """Wait until at most ``pending`` pieces are in use."""
        ...


class Comparing(Protocol):
    """Compares a source with an ingest's bytes; see `contentdb.local.ingest.intake.Comparison`."""

    @property
    def size(self) -> int:
        """Count of bytes that are the same, from the start."""
        ...

    @property
    def digest(self) -> Digest:
        """The digest of those bytes."""
        ...

    @property
    def left(self) -> int:
        """Count of the ingest's bytes that are not compared yet."""
        ...

    def compare(self, data: Buffer) -> int:
        """Compare the next bytes of the source; return how many of them are the same."""
        ...

    def end(self) -> None:
        """Cut the ingest behind the bytes that are the same; writing goes on there."""
        ...


class Taking(Protocol):
    """An ingest that can take in a whole source; see `contentdb.engine.HeldIngest`."""

    @property
    def ref(self) -> str:
        """The name of the ingest."""
        ...

    @property
    def offset(self) -> int:
        """Count of bytes in the ingest."""
        ...

    @property
    def digest(self) -> Digest:
        """The digest of those bytes."""
        ...

    def status(self) -> Status:
        """Return the ingest's offset and declarations."""
        ...

    def feed(self, data: Buffer) -> None:
        """Append; the caller must not change the buffer until `settle`."""
        ...

    def settle(self, *, pending: int = 0) -> None:
        """Wait until at most ``pending`` buffers of `feed` are in use."""
        ...

    def comparison(self) -> Comparing:
        """Begin to compare a source with the ingest's bytes."""
        ...

    def redeclare(self, declared: Declared) -> None:
        """Replace the ingest's declarations; with None for metadata, its metadata stays."""
        ...


_FIRST_BYTES: Final = PIECE_BYTES >> 4
"""Size of the first pieces, until one comes in full: small content needs no larger buffers."""


def _make_buffers(size: int) -> list[memoryview]:
    return [memoryview(bytearray(size)) for _ in range(2)]


def pump(read_into: Callable[[memoryview], int], sink: Taker, most: int | None = None) -> None:
    """Copy a stream to its end, or up to ``most`` bytes, reading while the last piece is hashed.

    Args:
        read_into: Fills a buffer, perhaps in part, and returns the count of bytes; 0 at the end.
        sink: Gets the pieces.
        most: Limit of bytes to read.
    """
    # To zero two pieces of 1 MiB costs the add of a small file 1 ms.
    size = PIECE_BYTES if most is None else min(PIECE_BYTES, most)
    buffers = _make_buffers(min(size, _FIRST_BYTES))
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
        if count == len(buffers[0]) < size:  # the source is longer
            buffers = _make_buffers(size)
    sink.settle()


def count_common(one: bytes | memoryview, other: bytes | bytearray | memoryview) -> int:
    """Return how many leading bytes two buffers have in common."""
    same, most = 0, min(len(one), len(other))
    if one[:most] == other[:most]:
        return most
    while most - same > 1:  # the first `same` are equal, the first `most` are not
        middle = (same + most) // 2
        if one[same:middle] == other[same:middle]:
            same = middle
        else:
            most = middle
    return same
