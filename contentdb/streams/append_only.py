"""What a writer is to code that only appends to a file: `zipfile.ZipFile`, `io.TextIOWrapper`."""

from __future__ import annotations

import io
from abc import abstractmethod
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["AppendOnly"]


class AppendOnly(io.RawIOBase):
    """A binary file that is written at its end alone; leaving its block closes it."""

    @property
    @abstractmethod
    def offset(self) -> int:
        """Bytes that have reached the file."""

    @abstractmethod
    def _require_open(self) -> None:
        """Raise `WriterClosedError` if it is closed."""

    @abstractmethod
    def _restart(self) -> None:
        """Drop all bytes, the ref still held."""

    def writable(self) -> bool:
        """Return True; it can neither be read nor sought in."""
        return True

    def tell(self) -> int:
        """Return the offset, where every write goes."""
        return self.offset

    def flush(self) -> None:
        """Do nothing: all bytes have reached the file; `commit` makes them durable."""
        self._require_open()

    def truncate(self, size: int | None = 0, /) -> int:
        """Go back to offset 0, the ref still held; no other offset is possible.

        None means the present offset, as for any file: nothing is removed.
        """
        self._require_open()
        if size == 0:
            self._restart()
        elif size not in {None, self.offset}:
            raise io.UnsupportedOperation("a writer goes back to offset 0 alone")
        return self.offset

    def __enter__(self) -> Self:
        """Close at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        self.close()
