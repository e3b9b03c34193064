"""A source of an ingest: read from its start, or from an offset where it can be."""

from __future__ import annotations

import os

from contentdb.errors import InvalidArgumentError
from contentdb.light_typing import TYPE_CHECKING, Protocol
from contentdb.streams.source import reading

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from contentdb.streams.source import Fill

__all__ = ["Origin", "origin_of"]


class Origin(Protocol):
    """A source that can be read from its start, or from an offset."""

    can_skip: bool
    """Whether it can be read from an offset, and then again from its start."""
    is_opened: bool
    """Whether a function opens it for each offset, perhaps over a network."""

    def start(self) -> Fill:
        """Return a function that reads from the source's start."""
        ...

    def skip_to(self, offset: int) -> Fill | None:
        """Return a function that reads from an offset; None if the source is shorter."""
        ...

    def close(self) -> None:
        """Close a stream that was opened here; a stream of the caller's stays open."""
        ...


def origin_of(source: object) -> Origin:
    """Wrap a stream, read from its present position, or a function that opens one at an offset.

    Raises:
        InvalidArgumentError: The source is neither.
    """
    if hasattr(source, "readinto") or hasattr(source, "read"):
        return _Stream(source)
    if callable(source):
        return _Opened(source)
    raise InvalidArgumentError(
        "content comes from a binary stream, or from a function that opens one at an offset, "
        f"not from {type(source).__name__}"
    )


class _Stream:
    is_opened = False

    def __init__(self, source: Any) -> None:  # noqa: ANN401 - by what it can do
        self._source = source
        self._fill = reading(source)
        seekable = getattr(source, "seekable", None)
        self.can_skip = seekable is not None and bool(seekable())
        self._start = source.tell() if self.can_skip else 0

    def start(self) -> Fill:
        if self.can_skip:
            self._source.seek(self._start)
        return self._fill

    def skip_to(self, offset: int) -> Fill | None:
        if self._source.seek(0, os.SEEK_END) - self._start < offset:
            return None
        self._source.seek(self._start + offset)
        return self._fill

    def close(self) -> None:
        pass


class _Opened:
    can_skip = True
    is_opened = True

    def __init__(self, open_at: Callable[[int], Any]) -> None:
        self._open_at = open_at
        self._stream: Any = None

    def start(self) -> Fill:
        return self.skip_to(0)

    def skip_to(self, offset: int) -> Fill:
        self.close()
        self._stream = self._open_at(offset)
        return reading(self._stream)

    def close(self) -> None:
        stream, self._stream = self._stream, None
        close = getattr(stream, "close", None)
        if close is not None:
            close()
