"""Content to store: distinct random bytes, small ones at hand, large ones as a stream."""

from __future__ import annotations

import io
import os
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from typing_extensions import Buffer

__all__ = ["CHUNK", "Stream", "batched", "objects"]

CHUNK = 1 << 20
_Item = TypeVar("_Item")
_STAMP = 16
_BLOCK = 8 * CHUNK


def objects(count: int, size: int) -> list[bytes]:
    """Make distinct contents of exactly ``size`` bytes."""
    pool = os.urandom(count * size)
    return [pool[at : at + size] for at in range(0, count * size, size)]


def batched(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    """Cut into lists of ``size``, the last one shorter: `itertools` has it from Python 3.12."""
    rest = iter(items)
    while group := list(islice(rest, size)):
        yield group


class Stream(io.RawIOBase):
    """A seekable source of ``size`` bytes that costs its reader one copy and no system call.

    One random block repeats, each repetition under its own stamp, so that no two streams and no
    two chunks are equal.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self._block = memoryview(bytearray(os.urandom(min(size, _BLOCK) or 1)))
        self._at = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Give the position in bytes."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move; what is read there does not depend on the way."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        self._at = base + offset
        return self._at

    def _piece(self, most: int) -> memoryview:
        lap, start = divmod(self._at, len(self._block))
        stamp = lap.to_bytes(_STAMP, "little")
        if len(self._block) >= _STAMP:
            self._block[:_STAMP] = stamp
        piece = self._block[start : start + max(0, min(most, self.size - self._at))]
        self._at += len(piece)
        return piece

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill the buffer as far as one block goes."""
        target = memoryview(buffer).cast("B")
        piece = self._piece(len(target))
        target[: len(piece)] = piece
        return len(piece)

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to ``size`` bytes, or all that are left."""
        if size is None or size < 0:
            return self.readall()
        return bytes(self._piece(size))
