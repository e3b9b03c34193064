"""What callers hand in: bytes, files, paths. One way to look at each, and errors that name it."""

from __future__ import annotations

import errno
import io
import os
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol

import xxhash

from contentdb import files
from contentdb.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    StorageError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    Fill = Callable[[memoryview], int]
    """Fills a buffer as far as it likes and gives the bytes; 0 at the end."""

__all__ = [
    "Origin",
    "bytes_of",
    "bytes_read",
    "check_unchanged",
    "is_of_source",
    "open_source",
    "origin_of",
    "reading",
    "reading_file",
]

_PIECE_BYTES: Final = 1 << 20
_TICK_NS: Final = 20_000_000
"""Longer than the kernel's clock takes from one time of a file to the next, 10 ms at most."""


def bytes_of(source: object) -> bytes | memoryview | None:
    """View a bytes-like object as bytes; None for anything else."""
    if type(source) is bytes:
        return source
    if isinstance(source, str):
        raise InvalidArgumentError("text is no content: encode it, or give a path as pathlib.Path")
    try:
        view = memoryview(source)  # type: ignore[arg-type]  # that is the question
    except TypeError:
        return None
    return view.cast("B") if view.c_contiguous else memoryview(bytes(view))


def open_source(source: os.PathLike[str]) -> int:
    """Open a regular file for reading; anything else under the path is refused, unread."""
    path = os.fspath(source)
    try:
        # a FIFO without a writer must not hang us
        fd = files.open_path(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise StorageError.of("open", path, error) from error
    except ValueError as error:  # a NUL in the path
        raise InvalidArgumentError(f"{path!r} is no path: {error}") from error
    try:
        is_file = stat.S_ISREG(files.stat_open(fd, path).st_mode)
    except StorageError:
        files.let_go(fd)
        raise
    if not is_file:
        files.let_go(fd)
        cause = OSError(errno.EINVAL, "it is not a regular file")
        raise StorageError("store", path, cause)
    return fd


def reading(source: Any) -> Fill:  # noqa: ANN401 - by what it can do
    """Make a function that fills a buffer from a file object and gives the bytes, 0 at the end.

    Raises:
        InvalidArgumentError: The object cannot be read from.
    """
    _check_readable(source)
    fill = _fill_of(source)

    def told(buffer: memoryview) -> int:
        try:
            return fill(buffer)
        except Exception as error:
            with suppress(AttributeError):
                error._is_of_a_source = True  # type: ignore[attr-defined]  # noqa: SLF001 - read below
            raise

    return told


def _check_readable(source: Any) -> None:  # noqa: ANN401 - by what it can do
    """Raise `InvalidArgumentError` for what can never be read: a class, a file that is closed."""
    if isinstance(source, type):
        name = source.__name__
        raise InvalidArgumentError(f"content comes from an object; {name} is a class")
    if getattr(source, "closed", False) is True:
        raise InvalidArgumentError(f"the source is closed: {source!r:.80}")


def is_of_source(error: Exception) -> bool:
    """Whether an exception came out of a source's own ``read``, and no other code."""
    return getattr(error, "_is_of_a_source", False)


def _fill_of(source: Any) -> Fill:  # noqa: ANN401 - by what it can do
    readinto = getattr(source, "readinto", None)
    if isinstance(source, io.BufferedReader | io.FileIO):
        return _reading_open_file(source)
    if readinto is not None:
        return lambda buffer: _counted(readinto(buffer), buffer)
    read = getattr(source, "read", None)
    if read is None:
        raise InvalidArgumentError(
            f"content comes from bytes, a binary file or a path, not from {type(source).__name__}"
        )

    def fill(buffer: memoryview) -> int:
        data = bytes_read(read(len(buffer)))
        count = _counted(len(data), buffer)
        buffer[:count] = data
        return count

    return fill


def _reading_open_file(source: io.BufferedReader | io.FileIO) -> Fill:
    """As `reading`; a regular file that changes from now until its end is an error."""
    raw = source.raw if isinstance(source, io.BufferedReader) else source
    if not isinstance(raw, io.FileIO):
        return lambda buffer: _counted(source.readinto(buffer), buffer)
    fd, path = raw.fileno(), str(raw.name)
    found = files.stat_open(fd, path)

    def fill(buffer: memoryview) -> int:
        count = _counted(source.readinto(buffer), buffer)
        if not count and stat.S_ISREG(found.st_mode) and not raw.writable():
            check_unchanged(fd, found, path)
        return count

    return fill


def bytes_read(data: object) -> bytes | memoryview:
    """Take what a ``read`` gave for bytes.

    Raises:
        BlockingIOError: It has nothing yet, which is no end.
        InvalidArgumentError: It is text, or anything else but bytes.
    """
    if data is None:
        raise _nothing_yet()
    if isinstance(data, str):
        raise InvalidArgumentError("the source gives text; open it in binary mode")
    view = bytes_of(data)
    if view is None:
        raise InvalidArgumentError(f"the source gives {type(data).__name__}, not bytes")
    return view


def _counted(count: object, buffer: memoryview) -> int:
    if count is None:
        raise _nothing_yet()
    if not isinstance(count, int) or not 0 <= count <= len(buffer):
        raise InvalidArgumentError(
            f"the source gives {count!r:.40} bytes where {len(buffer)} were asked for"
        )
    return count


def _nothing_yet() -> BlockingIOError:
    return BlockingIOError(errno.EAGAIN, "the source has nothing yet; give one that blocks")


def reading_file(fd: int, path: str) -> Fill:
    """The same for a file that was opened just now; one that changes until its end is an error."""
    found = files.stat_open(fd, path)
    # A file's times move by the clock's ticks: a second write within one leaves no trace of itself.
    is_fresh = abs(time.time_ns() - found.st_ctime_ns) < _TICK_NS
    running = xxhash.xxh3_64() if is_fresh else None

    def fill(buffer: memoryview) -> int:
        count = files.read_into(fd, buffer, path)
        if running is not None:
            running.update(buffer[:count])
        if not count:
            if running is not None and _checksum(fd, path) != running.intdigest():
                raise _changed(path)
            check_unchanged(fd, found, path)
        return count

    return fill


def _checksum(fd: int, path: str) -> int:
    running = xxhash.xxh3_64()
    at = 0
    while piece := files.read_at(fd, _PIECE_BYTES, at, path):
        running.update(piece)
        at += len(piece)
    return running.intdigest()


def check_unchanged(fd: int, found: os.stat_result, path: str) -> None:
    """Raise `FailedPreconditionError` if a file is not as it was: its copy may be torn."""
    now = files.stat_open(fd, path)
    if (now.st_size, now.st_mtime_ns, now.st_ctime_ns) != (
        found.st_size, found.st_mtime_ns, found.st_ctime_ns,
    ):  # fmt: skip
        raise _changed(path)


def _changed(path: str) -> FailedPreconditionError:
    return FailedPreconditionError(f"{path} changed while it was read; nothing is stored of it")


class Origin(Protocol):
    """A source that is taken in from its start, or from behind what is there already."""

    can_skip: bool
    """Whether it can be read from another place than its start, and from its start once more."""
    is_opened: bool
    """Whether it is asked for anew for each place, over a network perhaps."""

    def start(self) -> Fill:
        """Read from its start."""
        ...

    def skip_to(self, offset: int) -> Fill | None:
        """Read from so many bytes behind its start; None if it has fewer."""
        ...

    def close(self) -> None:
        """Close what was opened here; a stream of the caller's stays open."""
        ...


def origin_of(source: object) -> Origin:
    """Tell a stream, which begins where it stands, from a function that opens one at an offset.

    Raises:
        InvalidArgumentError: It is neither.
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
