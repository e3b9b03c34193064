"""What callers hand in: bytes, files, paths. One way to look at each, and errors that name it."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Any, Protocol

from contentdb import files
from contentdb.errors import InvalidArgumentError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from typing_extensions import Buffer

    Source = Buffer | BinaryIO | os.PathLike[str]
    Fill = Callable[[memoryview], int]
    """Fills a buffer as far as it likes and gives the bytes; 0 at the end."""

__all__ = ["Origin", "bytes_of", "bytes_read", "open_source", "origin_of", "reading"]


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
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
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
    readinto = getattr(source, "readinto", None)
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
    """The same for an open file."""
    return lambda buffer: files.read_into(fd, buffer, path)


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
