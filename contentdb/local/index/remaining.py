"""The rest of a stream when its process forks: read at once, yielded later.

A few pieces stay in memory. More go into a file without a name, which parent and child both read:
a fork during a listing of millions must not fill the memory of two processes.
"""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress

from contentdb.errors import ContentDBError, StorageError
from contentdb.light_typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from typing import Any, Final

__all__ = ["remaining"]

T = TypeVar("T")

_IN_MEMORY: Final = 8
"""Pieces; one of a walk has a thousand blobs, or two megabytes of labels."""


def remaining(pieces: Iterable[Iterator[T]]) -> Generator[Iterator[T], None, None]:
    """Read all pieces now, yield them later; if reading fails, yield what was read, then raise."""
    near: deque[list[T]] = deque()
    far: list[_Far] = []
    failure: ContentDBError | None = None
    try:
        for piece in pieces:
            if len(near) < _IN_MEMORY:
                near.append(list(piece))
                continue
            if not far:
                far.append(_Far())
            far[0].append(list(piece))
    except ContentDBError as error:
        failure = error
    except OSError as error:
        failure = StorageError.of("keep the rest of a listing in", "a temporary file", error)
    return _hand_out(near, far, failure)


def _hand_out(
    near: deque[list[T]], far: list[_Far], failure: ContentDBError | None
) -> Generator[Iterator[T], None, None]:
    while near:
        yield iter(near.popleft())
    for file in far:
        yield from file.pieces()
    if failure is not None:
        raise failure


class _Far:
    """Pieces in a file without a name, which ends with its last descriptor."""

    def __init__(self) -> None:
        import tempfile  # takes 20 ms, which most processes save

        with tempfile.TemporaryFile(prefix="contentdb-") as file:
            self._fd = os.dup(file.fileno())
        self._lengths: list[int] = []

    def append(self, piece: list[Any]) -> None:
        import pickle

        left = memoryview(pickle.dumps(piece))
        length = len(left)
        while left:
            left = left[os.write(self._fd, left) :]
        self._lengths.append(length)

    def pieces(self) -> Iterator[Iterator[Any]]:
        """Yield the pieces, read by offset: parent and child share the file's position."""
        import pickle

        at = 0
        for length in self._lengths:
            data = os.pread(self._fd, length, at)
            at += length
            yield iter(pickle.loads(data))  # noqa: S301 - this process wrote it

    def __del__(self) -> None:
        with suppress(AttributeError, OSError):  # it may not have been opened
            os.close(self._fd)
