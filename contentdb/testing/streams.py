"""Sources that misbehave, or that record how they were read."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from typing import BinaryIO

    from typing_extensions import Buffer

__all__ = [
    "NotYet",
    "OnlyRead",
    "Opening",
    "Seekable",
    "breaking",
    "dribble",
    "endless",
    "piped",
    "unread",
]


def piped(data: bytes) -> BinaryIO:
    """Return an unbuffered stream that can be read once, in order, like a pipe."""
    return cast("BinaryIO", _Piped(data))  # typeshed has no way to say that a raw stream fits


def dribble(data: bytes) -> BinaryIO:
    """Return a pipe that gives at most three bytes a read."""
    return cast("BinaryIO", _Piped(data, piece=3))


def breaking(data: bytes, error: Exception) -> BinaryIO:
    """Return a pipe that raises an error behind its bytes."""
    return cast("BinaryIO", _Breaking(data, error))


def endless(*, limit: int) -> BinaryIO:
    """Return a pipe without end; reading more than ``limit`` bytes fails the test."""
    return cast("BinaryIO", _Endless(limit=limit))


def unread() -> BinaryIO:
    """Return a source that fails the test when it is read."""
    return cast("BinaryIO", _Unread())


class _Piped(io.RawIOBase):
    """A stream without seek and tell."""

    def __init__(self, data: bytes, *, piece: int = 1 << 20) -> None:
        super().__init__()
        self._left = memoryview(data)
        self._piece = piece

    def readable(self) -> bool:
        """Return True, as a pipe's reading end does."""
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill at most one piece."""
        into = memoryview(buffer).cast("B")
        count = min(len(into), len(self._left), self._piece)
        into[:count] = self._left[:count]
        self._left = self._left[count:]
        return count


class NotYet(_Piped):
    """A non-blocking pipe whose other end is still open: behind its bytes it has nothing yet."""

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill the buffer; return None behind the last byte, which does not mean the end."""
        return super().readinto(buffer) or cast("int", None)


class _Breaking(_Piped):
    def __init__(self, data: bytes, error: Exception) -> None:
        super().__init__(data)
        self._error = error

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill the buffer; raise the error behind the last byte."""
        if len(self._left) == 0:
            raise self._error
        return super().readinto(buffer)


class _Endless(_Piped):
    def __init__(self, *, limit: int) -> None:
        super().__init__(b"")
        self._limit = limit

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill the whole buffer with zeros; fail beyond the limit."""
        into = memoryview(buffer).cast("B")
        into[:] = bytes(len(into))
        self._limit -= len(into)
        if self._limit < 0:
            message = "the source was read on and on"
            raise AssertionError(message)
        return len(into)


class _Unread(io.RawIOBase):
    def readable(self) -> bool:
        """Return True, so that callers try to read."""
        return True

    def readinto(self, _buffer: Buffer, /) -> int:
        """Fail."""
        message = "the source was read"
        raise AssertionError(message)


class Seekable(io.BytesIO):
    """A seekable source that records the lowest position of a read."""

    lowest: int | None = None

    def _note(self) -> None:
        here = self.tell()
        self.lowest = here if self.lowest is None else min(here, self.lowest)

    def read(self, size: int | None = -1, /) -> bytes:
        """Note the position, then read."""
        self._note()
        return super().read(size)

    def read1(self, size: int | None = -1, /) -> bytes:
        """Note the position, then read."""
        self._note()
        return super().read1(-1 if size is None else size)

    def readinto(self, buffer: Buffer, /) -> int:
        """Note the position, then read."""
        self._note()
        return super().readinto(buffer)


class OnlyRead:
    """A source with no method but `read`, which returns the given answers.

    Args:
        answers: The answers of the calls, in order; a number stands for as many bytes ``x``.
            Behind the last one the source is at its end.
    """

    def __init__(self, *answers: Any) -> None:  # noqa: ANN401 - right ones and wrong ones
        self._answers = list(answers)

    def read(self, size: int, /) -> bytes:
        """Return the next answer, at most ``size`` bytes of it if it is bytes."""
        if not self._answers:
            return b""
        answer = self._answers.pop(0)
        if isinstance(answer, bytes) and len(answer) > size:
            self._answers.insert(0, answer[size:])
            return answer[:size]
        if isinstance(answer, int):
            return b"x" * answer
        return cast("bytes", answer)


class Opening:
    """A source that is opened at an offset, as by a Range request, and records the offsets.

    Args:
        data: The content.
        cut: Count of bytes after which each stream raises `ConnectionError`.
    """

    def __init__(self, data: bytes, *, cut: int | None = None) -> None:
        self._data = data
        self._cut = cut
        self.asked: list[int] = []
        self.streams: list[BinaryIO] = []

    def __call__(self, offset: int) -> BinaryIO:
        """Open the content at an offset."""
        self.asked.append(offset)
        left = self._data[offset:]
        if self._cut is None:
            stream = piped(left)
        else:
            stream = breaking(left[: self._cut], ConnectionError("cut off"))
        self.streams.append(stream)
        return stream
