"""Append records to this process's pack, and record their rows: steps P1 to P3 of docs/design.md.

One thread writes the records of all that wait, puts them on disk by one sync, and records their
rows in one transaction, which is not synced: `contentdb.local.packs.replay` makes rows again from
records. So the pack may be recorded up to an offset only together with all rows before it.
"""

from __future__ import annotations

import threading
from collections import deque

from contentdb.errors import (
    CommitUnknownError,
    ContentDBError,
    InvalidLabelError,
    LeaseEndedError,
    ReentrantCallError,
)
from contentdb.light_typing import TYPE_CHECKING, NamedTuple
from contentdb.local.index import Entry, Location, Outcome
from contentdb.local.packs.own import OwnPack
from contentdb.local.packs.record import encode, facts_of
from contentdb.presence import reset_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Final, TypeVar

    from contentdb.local.index.index import Index
    from contentdb.local.packs.directory import PackDirectory

    T = TypeVar("T")

__all__ = ["Appender", "Packing"]

_AT_ONCE_BYTES: Final = 16 << 20
"""Records that are written and synced together, at most, but for one job."""


class Packing(NamedTuple):
    """A blob to be packed, and its content."""

    candidate: Entry
    """It is told where its record has come to lie."""
    data: bytes | memoryview


class _Job:
    __slots__ = ("done", "error", "outcomes", "packings")

    def __init__(self, packings: Sequence[Packing]) -> None:
        self.packings = packings
        self.outcomes: list[Outcome | ContentDBError] = []
        self.error: ContentDBError | None = None
        self.done = False


class Appender:
    """The pack that this process appends to; shared by its threads."""

    def __init__(
        self, packs: PackDirectory, index: Index, namespace: str, *, durable: bool
    ) -> None:
        self._packs = packs
        self._index = index
        self._durable = durable
        self._namespace = namespace
        self._pack = OwnPack(packs, index, durable=durable)
        self._turn = threading.RLock()
        self._is_busy = False
        self._queue: deque[_Job] = deque()

    def append(self, packings: Sequence[Packing]) -> list[Outcome | ContentDBError]:
        """Store blobs; return the outcome of each. Durable when it returns, if the store is.

        Raises:
            DurabilityError: The sync failed; nothing was recorded.
            ContentDBError: The index refused; nothing was recorded.
            ReentrantCallError: A signal handler called this within a call of its thread.
        """
        job = _Job(packings)
        try:
            self._queue.append(job)  # a signal handler may raise as soon as it is there
            with self._turn:
                self._check_not_busy()
                if not job.done:
                    self._run_waiting()
        except BaseException:
            job.done = True  # so that no thread begins to run it
            with self._turn:  # wait for a thread that is running it
                pass
            raise
        if job.error is not None:
            raise job.error
        return job.outcomes

    def _check_not_busy(self) -> None:
        if self._is_busy:
            raise ReentrantCallError(self._packs.directory.path)

    def _run_waiting(self) -> None:
        self._is_busy = True
        try:
            while jobs := self._choose():
                self._run(jobs)
        finally:
            self._is_busy = False
            while self._queue and self._queue[0].done:
                self._queue.popleft()

    def _choose(self) -> list[_Job]:
        """Return the jobs that are written together; none if none waits."""
        chosen: list[_Job] = []
        size = 0
        for job in list(self._queue):
            if not job.done:
                size += sum([len(packing.data) for packing in job.packings])
                if chosen and size > _AT_ONCE_BYTES:
                    break
                chosen.append(job)
        return chosen

    def _run(self, jobs: list[_Job]) -> None:
        """Store the blobs of some jobs; an error becomes that of each."""
        try:
            packings = [packing for job in jobs for packing in job.packings]
            outcomes = self._store(packings)
            rest = iter(outcomes)
            for job in jobs:
                job.outcomes = [next(rest) for _ in job.packings]
                job.done = True
            self._end_unused(jobs)
        except ContentDBError as error:
            for job in jobs:
                if not job.done:
                    job.error = error
                    job.done = True

    def _end_unused(self, jobs: list[_Job]) -> None:
        """Put rows on disk that others had made, then mark the records that were not needed.

        Such a row has labels of several calls, which records alone do not tell in their order.
        """
        created = [Outcome.CREATED]
        merged = [job for job in jobs if job.outcomes != created * len(job.outcomes)]
        if not merged:
            return
        try:
            if self._durable:
                self._index.sync()
            unneeded = [location for job in merged for location in self._unneeded(job)]
            self._pack.settle(unneeded)
        except BaseException as error:
            self._pack.let_go()  # the process that takes it next marks them
            for job in merged:
                path = self._packs.directory.path
                job.error = CommitUnknownError(
                    path, f"a change was made, but a power cut may undo it: {error}"
                )
            if not isinstance(error, ContentDBError):
                raise

    def _unneeded(self, job: _Job) -> Iterator[Location]:
        for packing, outcome in zip(job.packings, job.outcomes, strict=True):
            digest, location = packing.candidate.digest, packing.candidate.location
            if outcome in {Outcome.CREATED, Outcome.HEALED} or location is None:
                continue
            if not self._index.is_in_place(digest, location):
                yield location

    def _store(self, packings: list[Packing]) -> list[Outcome | ContentDBError]:
        pieces: list[bytes | memoryview] = []
        places: list[int] = []
        size = 0
        for candidate, data in packings:
            facts = facts_of(
                self._namespace,
                candidate.labelling,
                candidate.ref,
                candidate.token,
                candidate.lease,
            )
            record = encode(candidate.digest, data, candidate.checksum, candidate.now_ns, facts)
            places.append(size)
            pieces += record
            size += sum(map(len, record))
        return self._pack.write(
            pieces, size, lambda pack, start, end: self._record(packings, places, pack, start, end)
        )

    def _record(
        self, packings: list[Packing], places: list[int], pack: int, start: int, end: int
    ) -> list[Outcome | ContentDBError]:
        entries = [packing.candidate for packing in packings]
        for entry, place in zip(entries, places, strict=True):
            entry.location = Location(pack, start + place)
        try:
            outcomes: list[Outcome | ContentDBError] = [
                *self._index.record_packed(entries, pack, end)
            ]
        except (InvalidLabelError, LeaseEndedError):  # of one of the blobs
            if len(entries) == 1:
                raise
            outcomes = [self._record_alone(entry, pack, start) for entry in entries]
        return outcomes

    def _record_alone(self, entry: Entry, pack: int, start: int) -> Outcome | ContentDBError:
        """Record one entry of several; an error must not undo those that were recorded before.

        `_end_unused` notes up to where the pack is recorded.
        """
        try:
            return self._index.record_packed([entry], pack, start)[0]
        except (InvalidLabelError, LeaseEndedError) as error:
            return error

    # -- the pack of this process ------------------------------------------------------------------

    def write(
        self,
        pieces: Sequence[bytes | memoryview],
        size: int,
        record: Callable[[int, int, int], T],
    ) -> T:
        """Write whole records and put them on disk, then call ``record``; see `OwnPack.write`.

        The records are copies, whose old places go: they are synced in any store.
        """
        with self._turn:
            self._check_not_busy()
            self._is_busy = True
            try:
                return self._pack.write(pieces, size, record, always_sync=True)
            finally:
                self._is_busy = False

    @property
    def number(self) -> int | None:
        """The pack of this process, if it has one."""
        return self._pack.number

    def let_go(self) -> None:
        """Let other processes append to the pack; the next call takes one again."""
        with self._turn:
            self._pack.let_go()

    def after_fork_in_child(self) -> None:
        """Close the copy of the pack, which stays the parent's, and start with an empty queue."""
        reset_after_fork(self._turn)
        self._queue.clear()
        self._is_busy = False
        self._pack.let_go()
