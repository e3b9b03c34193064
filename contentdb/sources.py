"""What callers hand in: bytes, files, paths. One way to look at each, and errors that name it."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Any

from contentdb import files
from contentdb.errors import InvalidArgumentError, SizeMismatchError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from typing_extensions import Buffer

    Source = Buffer | BinaryIO | os.PathLike[str]

__all__ = ["bytes_of", "open_source", "reading", "skip_to"]


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


def reading(source: Any) -> Callable[[memoryview], int]:  # noqa: ANN401 - by what it can do
    """Make a function that fills a buffer from a file object and gives the bytes, 0 at the end.

    Raises:
        InvalidArgumentError: The object cannot be read from.
    """
    readinto = getattr(source, "readinto", None)
    if readinto is not None:
        return lambda buffer: _counted(readinto(buffer))
    read = getattr(source, "read", None)
    if read is None:
        raise InvalidArgumentError(
            f"content comes from bytes, a binary file or a path, not from {type(source).__name__}"
        )

    def fill(buffer: memoryview) -> int:
        data = read(len(buffer))
        if isinstance(data, str):
            raise InvalidArgumentError("the source gives text; open it in binary mode")
        count = _counted(None if data is None else len(data))
        buffer[:count] = data
        return count

    return fill


def _counted(count: int | None) -> int:
    if count is None:
        raise BlockingIOError(errno.EAGAIN, "the source has nothing yet; give one that blocks")
    return count


def reading_file(fd: int, path: str) -> Callable[[memoryview], int]:
    """The same for an open file."""
    return lambda buffer: files.read_into(fd, buffer, path)


def skip_to(source: Any, offset: int, fill: Callable[[memoryview], int]) -> None:  # noqa: ANN401 - as above
    """Go ``offset`` bytes on in a source that stands at its beginning, by seeking if it can.

    Raises:
        SizeMismatchError: It has fewer bytes than that.
    """
    if _is_seekable(source):
        start = source.tell()
        end = source.seek(0, os.SEEK_END)
        if end - start < offset:
            source.seek(start)
            raise SizeMismatchError(expected=offset, actual=end - start)
        source.seek(start + offset)
        return
    buffer = memoryview(bytearray(1 << 20))
    skipped = 0
    while skipped < offset:
        count = fill(buffer[: offset - skipped])
        if not count:
            raise SizeMismatchError(expected=offset, actual=skipped)
        skipped += count


def _is_seekable(source: Any) -> bool:  # noqa: ANN401 - as above
    seekable = getattr(source, "seekable", None)
    return seekable is not None and bool(seekable())
