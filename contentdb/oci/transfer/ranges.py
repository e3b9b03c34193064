"""Fetches ranges of one blob over several connections, and yields them in order.

What comes before its turn waits in an anonymous temporary file. `contentdb.oci.transfer.split`
decides when this is done.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import deque
from threading import Condition, Lock, Thread
from typing import TYPE_CHECKING, Final

from contentdb.logs import inform
from contentdb.oci.errors import RegistryError
from contentdb.oci.failures import BrokenError, OversizeError

if TYPE_CHECKING:
    from collections.abc import Generator
    from threading import Event as Flag

    from contentdb.digest import Digest
    from contentdb.oci.registry.registry import BlobStream, Registry

__all__ = ["RANGE_BYTES", "Lanes", "Ranges"]

RANGE_BYTES: Final = 8 * 1024 * 1024
"""Bytes of one range."""
_MOST_LANES: Final = 8
"""Limit for the connections of one blob."""
_AHEAD: Final = 2
"""Ranges in the temporary file for each connection: 16 MiB."""
_FAILURES: Final = 3
"""Stop after this many broken connections or short answers in one range."""
_PROGRESS_BYTES: Final = 64 * 1024
"""An answer that is shorter than asked must bring this much."""
_PATIENCE_S: Final = 10.0
"""Seconds to wait for the next bytes in order before one connection goes on."""
_PROOF_S: Final = 2.0
"""Seconds to wait for the answer that shows that ranges work."""
_LOOK_UP_S: Final = 0.5
_PIECE_BYTES: Final = 1024 * 1024


class Lanes:
    """Counts connections: those of the blobs that are not done, and spare ones.

    Args:
        jobs: How many connections in all.
        blobs: How many blobs there are; each needs a connection, now or later.
    """

    def __init__(self, jobs: int, blobs: int) -> None:
        self._lock = Lock()
        self._free = jobs - blobs

    def take(self) -> bool:
        """Take a spare connection, if there is one."""
        with self._lock:
            if self._free <= 0:
                return False
            self._free -= 1
            return True

    def give_back(self) -> None:
        """Count a connection as spare: one that was taken, or that of a blob that is done."""
        with self._lock:
            self._free += 1


class _Range:
    """One range, and how much of it has come."""

    def __init__(self, start: int, stop: int, place: int) -> None:
        self.start = start
        self.stop = stop
        self.place = place
        """Its offset in the temporary file."""
        self.filled = 0
        """Bytes that have come."""


class Ranges:
    """The ranges of one blob on their way, and the threads that fetch them."""

    def __init__(
        self,
        registry: Registry,
        repository: str,
        digest: Digest,
        start: int,
        size: int,
        lanes: Lanes,
    ) -> None:
        self._registry = registry
        self._repository = repository
        self._digest = digest
        self._size = size
        self._lanes = lanes
        self.start = start
        """Where the first range begins."""
        self._work_so_far = False
        """Whether the registry has answered with a range, and nothing has gone wrong."""
        self._next = start
        """Where the next range begins."""
        self._coming: deque[_Range] = deque()
        """What was begun and not yielded, in order."""
        self._places = [n * RANGE_BYTES for n in range(_AHEAD * _MOST_LANES)]
        """Free places in the file; the lowest is used first, so that the file stays small."""
        self._changed = Condition()
        self._answers: set[BlobStream] = set()
        self._threads = 0
        self._is_over = False
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - the last thread closes it
        self._users = 1

    # -- the caller's thread ---------------------------------------------------------------

    def chunks(self, stopped: Flag) -> Generator[bytes]:
        """Yield the bytes in order; the caller's own connection is spare now, so use it too.

        They end early if something goes wrong, or ``stopped`` is set.
        """
        self.begin_thread(borrowed=False)
        while (head := self._head(stopped)) is not None:
            taken = 0
            while taken < head.stop - head.start:
                if not self._wait_for(head, taken, stopped):
                    return
                length = min(head.filled - taken, _PIECE_BYTES)
                chunk = os.pread(self._file.fileno(), length, head.place + taken)
                taken += len(chunk)
                yield chunk
            with self._changed:
                self._coming.popleft()
                self._places.append(head.place)
                self._places.sort()
                self._changed.notify_all()

    def close(self) -> None:
        """Cut what is under way; each thread ends at once, and the last one closes the file."""
        with self._changed:
            self._is_over = True
            self._work_so_far = False
            for stream in self._answers:
                stream.answer.cut()
            self._changed.notify_all()
        self._leave()

    def wait_for_proof(self) -> bool:
        """Wait a moment for the first answer; return whether ranges work."""
        with self._changed:
            self._changed.wait_for(lambda: self._work_so_far or self._is_over, _PROOF_S)
            return self._work_so_far

    def _head(self, stopped: Flag) -> _Range | None:
        """Return the range to yield next; None if there is none, or no more will come."""
        with self._changed:
            while not self._coming:
                if self._next >= self._size or self._is_over or stopped.is_set():
                    return None
                self._changed.wait(_LOOK_UP_S)
            return self._coming[0]

    def _wait_for(self, head: _Range, taken: int, stopped: Flag) -> bool:
        """Wait for more of a range; return whether some came."""
        self._begin_threads()
        patience = time.monotonic() + _PATIENCE_S
        with self._changed:
            while head.filled == taken:
                if self._is_over or stopped.is_set() or time.monotonic() > patience:
                    return False
                self._changed.wait(_LOOK_UP_S)
            return True

    def _begin_threads(self) -> None:
        """Use the spare connections, if ranges work; one thread is left for the caller's own."""
        with self._changed:
            while (
                self._work_so_far
                and self._threads < _MOST_LANES - 1
                and self._next < self._size
                and self._lanes.take()
            ):
                self.begin_thread()

    def begin_thread(self, *, borrowed: bool = True) -> None:
        """Fetch over one more connection, which goes back to the lanes if it is borrowed."""
        with self._changed:
            self._threads += 1
            self._users += 1
        name = f"contentdb-oci-range-{self._threads}"
        Thread(target=self._work, args=(borrowed,), name=name, daemon=True).start()

    def _leave(self) -> None:
        with self._changed:
            self._users -= 1
            if not self._users:
                self._file.close()

    # -- the other threads -----------------------------------------------------------------

    def _work(self, borrowed: bool) -> None:  # noqa: FBT001 - a thread passes no keywords
        try:
            while (wanted := self._take()) is not None:
                self._fetch(wanted)
        except Exception as error:  # noqa: BLE001 - whatever it was, one connection goes on
            self._give_up(error)
        finally:
            if borrowed:
                self._lanes.give_back()
            self._leave()

    def _give_up(self, error: Exception) -> None:
        ours = isinstance(error, (BrokenError, OversizeError, RegistryError))
        why = (
            error if ours else type(error).__name__
        )  # a message of urllib3's can have a signed URL
        with self._changed:
            if not self._is_over:
                inform("oci", "fetching over one connection", digest=self._digest, why=why)
            self._is_over = True
            self._work_so_far = False
            self._changed.notify_all()

    def _take(self) -> _Range | None:
        """Begin the next range, as soon as there is room; None if there is no more to do."""
        with self._changed:
            while not self._is_over and self._next < self._size:
                if len(self._coming) < _AHEAD * self._threads:
                    stop = min(self._next + RANGE_BYTES, self._size)
                    wanted = _Range(self._next, stop, self._places.pop(0))
                    self._next = stop
                    self._coming.append(wanted)
                    self._changed.notify_all()
                    return wanted
                self._changed.wait()
            return None

    def _fetch(self, wanted: _Range) -> None:
        failures = 0
        while wanted.start + wanted.filled < wanted.stop and not self._is_over:
            before = wanted.filled
            try:
                self._fetch_part(wanted)
            except BrokenError as error:
                failures += 1
                if failures >= _FAILURES or error.slow:
                    raise
                self._registry.pause(0.1 * 2**failures)
            else:  # it may send less than was asked for, but not little by little
                failures += wanted.filled - before < _PROGRESS_BYTES
                if failures >= _FAILURES:
                    raise BrokenError("it sends too little at a time")

    def _fetch_part(self, wanted: _Range) -> None:
        at = wanted.start + wanted.filled
        stream = self._registry.blob(
            self._repository, self._digest, offset=at, stop=wanted.stop, size=self._size
        )
        with self._changed:
            self._answers.add(stream)
            if self._is_over:
                stream.answer.cut()  # `close` came too early for this one
        try:
            if stream.start != at or stream.stop is None or stream.stop > wanted.stop:
                raise OversizeError("it ignores ranges")
            self._prove()
            for chunk in stream.chunks(stream.stop - at):
                if self._is_over:
                    return
                self._keep(wanted, chunk)
        finally:
            with self._changed:
                self._answers.discard(stream)
            stream.answer.close()

    def _prove(self) -> None:
        """Note that ranges work, and let the other connections begin."""
        with self._changed:
            if not self._work_so_far and not self._is_over:
                self._work_so_far = True
                self._changed.notify_all()
                self._begin_threads()

    def _keep(self, wanted: _Range, chunk: bytes) -> None:
        left = memoryview(chunk)
        at = wanted.place + wanted.filled
        while left:
            written = os.pwrite(self._file.fileno(), left, at)
            left = left[written:]
            at += written
        with self._changed:
            wanted.filled += len(chunk)
            self._changed.notify_all()
