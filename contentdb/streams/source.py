"""Sources of content: bytes, files, paths, as functions that fill buffers."""

from __future__ import annotations

import errno
import io
import os
import stat
import time
from contextlib import suppress

import xxhash

from contentdb import files
from contentdb.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    StorageError,
)
from contentdb.light_typing import TYPE_CHECKING
from contentdb.store_folder import is_store
from contentdb.streams.pump import PIECE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    Fill = Callable[[memoryview], int]
    """Fills a buffer, perhaps in part, and returns the count of bytes; 0 at the end."""

__all__ = [
    "bytes_of",
    "bytes_read",
    "check_movable",
    "check_unchanged",
    "is_of_source",
    "open_source",
    "reading",
    "reading_file",
    "remove_moved",
]

_TICK_NS: Final = 20_000_000
"""Longer than a tick of the kernel's clock for file times, which is 10 ms at most."""


def bytes_of(source: object) -> bytes | memoryview | None:
    """Return a bytes-like object as bytes or a view of bytes; None for anything else."""
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
    """Open a regular file for reading; refuse anything else without reading from it."""
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
    """Return a function that fills buffers from a file object.

    It marks exceptions of the object, so that `is_of_source` knows them.

    Raises:
        InvalidArgumentError: The object cannot be read from.
    """
    _check_readable(source)
    fill = _fill_of(source)

    def fill_and_mark(buffer: memoryview) -> int:
        try:
            return fill(buffer)
        except Exception as error:
            with suppress(AttributeError):
                error._is_of_a_source = True  # type: ignore[attr-defined]  # noqa: SLF001 - read below
            raise

    return fill_and_mark


def _check_readable(source: Any) -> None:  # noqa: ANN401 - by what it can do
    """Raise `InvalidArgumentError` for a class, or a file that is closed."""
    if isinstance(source, type):
        name = source.__name__
        raise InvalidArgumentError(f"content comes from an object; {name} is a class")
    if getattr(source, "closed", False) is True:
        raise InvalidArgumentError(f"the source is closed: {source!r:.80}")


def is_of_source(error: Exception) -> bool:
    """Return whether a source's own ``read`` raised an exception, not other code."""
    return getattr(error, "_is_of_a_source", False)


def _fill_of(source: Any) -> Fill:  # noqa: ANN401 - by what it can do
    readinto = getattr(source, "readinto", None)
    if isinstance(source, io.BufferedReader | io.FileIO):
        return _fill_of_file(source)
    if readinto is not None:
        return lambda buffer: _check_count(readinto(buffer), buffer)
    read = getattr(source, "read", None)
    if read is None:
        raise InvalidArgumentError(
            f"content comes from bytes, a binary file or a path, not from {type(source).__name__}"
        )

    def fill(buffer: memoryview) -> int:
        data = bytes_read(read(len(buffer)))
        count = _check_count(len(data), buffer)
        buffer[:count] = data
        return count

    return fill


def _fill_of_file(source: io.BufferedReader | io.FileIO) -> Fill:
    """Do the same for an open file; raise if a regular file changes between now and its end."""
    raw = source.raw if isinstance(source, io.BufferedReader) else source
    if not isinstance(raw, io.FileIO):
        return lambda buffer: _check_count(source.readinto(buffer), buffer)
    fd, path = raw.fileno(), str(raw.name)
    found = files.stat_open(fd, path)

    def fill(buffer: memoryview) -> int:
        count = _check_count(source.readinto(buffer), buffer)
        if not count and stat.S_ISREG(found.st_mode) and not raw.writable():
            check_unchanged(fd, found, path)
        return count

    return fill


def bytes_read(data: object) -> bytes | memoryview:
    """Check what a ``read`` returned, and return it as bytes.

    Raises:
        BlockingIOError: It is None: the source has nothing yet, but is not at its end.
        InvalidArgumentError: It is text, or anything else but bytes.
    """
    if data is None:
        raise _nothing_yet_error()
    if isinstance(data, str):
        raise InvalidArgumentError("the source gives text; open it in binary mode")
    view = bytes_of(data)
    if view is None:
        raise InvalidArgumentError(f"the source gives {type(data).__name__}, not bytes")
    return view


def _check_count(count: object, buffer: memoryview) -> int:
    if count is None:
        raise _nothing_yet_error()
    if not isinstance(count, int) or not 0 <= count <= len(buffer):
        raise InvalidArgumentError(
            f"the source gives {count!r:.40} bytes where {len(buffer)} were asked for"
        )
    return count


def _nothing_yet_error() -> BlockingIOError:
    return BlockingIOError(errno.EAGAIN, "the source has nothing yet; give one that blocks")


def reading_file(fd: int, path: str) -> Fill:
    """Return a function that fills buffers from a file opened just now; raise if it changes."""
    found = files.stat_open(fd, path)
    # A file's times change only once in a clock tick: a second write in it leaves them unchanged.
    is_fresh = abs(time.time_ns() - found.st_ctime_ns) < _TICK_NS
    running = xxhash.xxh3_64() if is_fresh else None

    def fill(buffer: memoryview) -> int:
        count = files.read_into(fd, buffer, path)
        if running is not None:
            running.update(buffer[:count])
        if not count:
            if running is not None and _checksum(fd, path) != running.intdigest():
                raise _changed_error(path)
            check_unchanged(fd, found, path)
        return count

    return fill


def _checksum(fd: int, path: str) -> int:
    running = xxhash.xxh3_64()
    at = 0
    while piece := files.read_at(fd, PIECE_BYTES, at, path):
        running.update(piece)
        at += len(piece)
    return running.intdigest()


def check_unchanged(fd: int, found: os.stat_result, path: str) -> None:
    """Raise `FailedPreconditionError` if a file changed: its copy may mix old and new bytes."""
    now = files.stat_open(fd, path)
    if (now.st_size, now.st_mtime_ns, now.st_ctime_ns) != (
        found.st_size, found.st_mtime_ns, found.st_ctime_ns,
    ):  # fmt: skip
        raise _changed_error(path)


def _changed_error(path: str) -> FailedPreconditionError:
    return FailedPreconditionError(f"{path} changed while it was read; nothing is stored of it")


# -- a source that is moved -------------------------------------------------------------------


def check_movable(path: str, *, moves: bool = True) -> None:
    """Raise if a path is a file of a store, which would lose it, or a symbolic link to move.

    Without ``moves`` the file gets another name, and loses none: then a link is taken.
    """
    place = folder = os.path.realpath(path)
    while folder != (folder := os.path.dirname(folder)):  # noqa: PTH120 - pathlib is slow to import
        if is_store(folder):
            raise InvalidArgumentError(f"{path} is a file of the store at {folder}; copy it")
    if moves and os.path.islink(path):  # noqa: PTH114 - as above
        raise InvalidArgumentError(f"{path} is a symbolic link; move {place} itself, or copy it")


def remove_moved(fd: int, path: str) -> None:
    """Remove a moved source if its path still leads to the open file that was stored."""
    try:
        if os.path.samestat(os.lstat(path), files.stat_open(fd, path)):
            os.unlink(path)  # noqa: PTH108 - pathlib is slow to import
    except OSError as error:
        raise StorageError.of("remove", path, error) from error
