"""What callers hand in: bytes, files, paths. One way to look at each, and errors that name it."""

from __future__ import annotations

import errno
import io
import os
import stat
import time
from typing import TYPE_CHECKING, Any, Final

import xxhash

from contentdb import files
from contentdb.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    SizeMismatchError,
    StorageError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["bytes_of", "check_unchanged", "open_source", "reading", "reading_file", "skip_to"]

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


def reading(source: Any) -> Callable[[memoryview], int]:  # noqa: ANN401 - by what it can do
    """Make a function that fills a buffer from a file object and gives the bytes, 0 at the end.

    Raises:
        InvalidArgumentError: The object cannot be read from.
    """
    readinto = getattr(source, "readinto", None)
    if isinstance(source, io.BufferedReader | io.FileIO):
        return _reading_open_file(source)
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


def _reading_open_file(source: io.BufferedReader | io.FileIO) -> Callable[[memoryview], int]:
    """As `reading`; a regular file that changes from now until its end is an error."""
    raw = source.raw if isinstance(source, io.BufferedReader) else source
    if not isinstance(raw, io.FileIO):
        return lambda buffer: _counted(source.readinto(buffer))
    fd, path = raw.fileno(), str(raw.name)
    found = files.stat_open(fd, path)

    def fill(buffer: memoryview) -> int:
        count = _counted(source.readinto(buffer))
        if not count and stat.S_ISREG(found.st_mode) and not raw.writable():
            check_unchanged(fd, found, path)
        return count

    return fill


def _counted(count: int | None) -> int:
    if count is None:
        raise BlockingIOError(errno.EAGAIN, "the source has nothing yet; give one that blocks")
    return count


def reading_file(fd: int, path: str) -> Callable[[memoryview], int]:
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
