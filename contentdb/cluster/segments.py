"""Bytes on their way to the object store: collected to segments, which become objects of a run.

Up to three segments of a writer are on their way at once. Content of one segment stays in memory
until its digest is known, and then is one object under its name.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from contentdb.cluster.extents import append

if TYPE_CHECKING:
    from concurrent.futures import Future

    from contentdb.cluster.extents import Run
    from contentdb.cluster.resources import Resources

__all__ = ["SEGMENT_BYTES", "Segments", "segment_size"]

SEGMENT_BYTES: Final = 8 << 20
"""Size of the segments of content, and the most bytes that are one object."""
_LARGE_BYTES: Final = 64 << 20
_LARGE_FROM_BYTES: Final = 1 << 30
_AHEAD: Final = 3


def segment_size(offset: int) -> int:
    """Return the size of the segment that begins at an offset: a long row would be slow."""
    return SEGMENT_BYTES if offset < _LARGE_FROM_BYTES else _LARGE_BYTES


class Segments:
    """The objects that one writer makes, in order, and the bytes that are in none of them yet."""

    def __init__(self, resources: Resources, runs: tuple[Run, ...] = (), offset: int = 0) -> None:
        self.runs = runs
        """Of the objects that are whole in the object store."""
        self.stored = offset
        """Size of those objects."""
        self.buffer = bytearray()
        """The bytes behind them, and behind those on their way."""
        self.session = 0
        """That writes; 0 before the first segment."""
        self._resources = resources
        self._prefix = ""
        self._number = 0
        self._sent = 0
        self._on_way: deque[tuple[int, int, Future[None]]] = deque()

    @property
    def size(self) -> int:
        """All bytes that came in."""
        return self.stored + self._sent + len(self.buffer)

    @property
    def is_small(self) -> bool:
        """Whether all bytes are in memory still."""
        return not self.runs and not self._on_way

    def add(self, view: memoryview) -> bool:
        """Take bytes in; send each segment that is full. Return whether `runs` has grown."""
        grown = False
        at = 0
        while at < len(view):
            most = segment_size(self.stored + self._sent)
            if len(self.buffer) == most:
                grown |= self._send()
                continue
            taken = min(len(view) - at, most - len(self.buffer))
            self.buffer += view[at : at + taken]
            at += taken
        return grown

    def _send(self) -> bool:
        """Begin to write the buffer as an object; wait for the oldest if too many are under way."""
        if not self._prefix:
            key = self._resources.session.new_key()
            self.session = int(key.partition(".")[0])
            self._prefix = f"parts/{key}/"
        number, data = self._number, bytes(self.buffer)
        key = f"{self._prefix}{number:08}"
        future = self._resources.start(lambda: self._resources.bucket.put(key, data))
        self._on_way.append((number, len(data), future))
        self._number += 1
        self._sent += len(data)
        self.buffer = bytearray()
        return self._land(pending=_AHEAD - 1)

    def _land(self, *, pending: int) -> bool:
        """Wait until at most so many segments are under way; raise the error of one that failed."""
        grown = False
        while self._on_way and (len(self._on_way) > pending or self._on_way[0][2].done()):
            number, size, future = self._on_way[0]
            future.result()
            self._on_way.popleft()
            self.runs = append(self.runs, self._prefix, number, size)
            self.stored += size
            self._sent -= size
            grown = True
        return grown

    def finish(self) -> None:
        """Write the rest as an object, and wait until all are in the object store."""
        if self.buffer:
            self._send()
        self.finish_way()

    def finish_way(self) -> None:
        """Wait until all segments under way are in the object store; the rest stays in memory."""
        self._land(pending=0)

    def wait(self) -> None:
        """Wait for the segments under way, whatever becomes of them."""
        for _, _, future in self._on_way:
            future.exception()

    def end(self) -> tuple[Run, ...]:
        """Wait as `wait` does; return all objects that there may be: one that failed, too."""
        self.wait()
        runs = self.runs
        for number, size, _ in self._on_way:
            runs = append(runs, self._prefix, number, size)
        return runs
