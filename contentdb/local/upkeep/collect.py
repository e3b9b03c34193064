"""Take the blobs that nothing keeps: steps R0 to R6 of docs/design.md.

A run looks at the rows whose time has come, finds what keeps each by a walk up the references, and
takes those that nothing keeps. Nothing is marked, so a run costs what has changed since the last.
It may be killed at any step, and other processes may write and collect meanwhile.
"""

# Long: the steps of a run are read in their order.

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Final

from contentdb import files
from contentdb.content import Collected
from contentdb.errors import FailedPreconditionError, NoRootsError
from contentdb.findings import Tally
from contentdb.local.delete import finish_delete, let_go_of_references
from contentdb.local.index.collecting import Candidate, Judged, Verdict
from contentdb.local.index.grace import GRACE_NS, review, reviews_of_unused
from contentdb.local.index.why import Horizon
from contentdb.local.layout import INGEST
from contentdb.local.leases import end_dead_leases
from contentdb.local.packs.replay import replay_all
from contentdb.local.upkeep.prune import prune_ingests
from contentdb.local.upkeep.unused import Sieve

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from contentdb.content import Collection
    from contentdb.engine import CollectTerms
    from contentdb.files import Directory
    from contentdb.local.index.collecting import Buried
    from contentdb.local.resources import Parts

    NextPage = Callable[[Parts, int, Candidate | None], list[Candidate]]

__all__ = ["Run", "begin_collecting", "begins_ns", "due_page", "every_page", "is_at_work_here"]

_PAGE: Final = 512
_SPARE: Final = 16
"""Candidates that are looked at beyond those that a bound asks for: some were used, or are kept."""
_HASTE: Final = 4
"""How much less a run rests for which a caller waits."""
_NO_MARK: Final = 1 << 63
"""Bytes: more than any bound."""
_BURIED_AT_ONCE: Final = 64
"""Files that are renamed in one transaction: some milliseconds under the write lock."""

_at_work: Final[dict[tuple[int, int], tuple[int, int]]] = {}
"""By device and inode of a store's ``ingest/``: process and thread of the run that has its lock."""


def begins_ns(parts: Parts, grace_ns: int) -> int | None:
    """Return from when on a collection may take anything; None before the first one or policy.

    Answers that were given before that are not written down anywhere.
    """
    since_ns = parts.index.collecting_since() if parts.sharing.collects else None
    return None if since_ns is None else since_ns + grace_ns


def begin_collecting(parts: Parts) -> None:
    """Let answers be written down from now on, unless they are already; durable."""
    if not parts.sharing.collects or parts.index.collecting_since() is None:
        # In this order: an answer that saw no flag was given before that time.
        parts.sharing.announce(parts.top, collects=True)
        parts.index.begin_collecting(time.time_ns())


def is_at_work_here(ingest: Directory) -> bool:
    """Return whether this thread is in the midst of a run, and would wait for itself in another."""
    return _at_work.get(_place_of(ingest)) == (os.getpid(), threading.get_ident())


class Run:
    """One collection of a namespace."""

    def __init__(self, parts: Parts, terms: CollectTerms, *, room_bytes: int = 0) -> None:
        """With ``room_bytes`` there must be so many below the terms' bound in the end."""
        self._parts = parts
        self._terms = terms
        self._room_bytes = room_bytes
        self._unused_ns = terms.unused_ns
        self._down_to: int | None = None
        """Bytes that the namespace may have in the end, while a run goes by a bound."""
        self._counted: int | None = None
        """Bytes before the run, in a namespace without totals."""
        self._grace_ns = GRACE_NS if terms.grace_ns is None else terms.grace_ns
        self._old_before_ns = 0 if terms.full else parts.index.old_before()
        self._sieve = Sieve(parts, terms)
        self._may_go = self._sieve.may_go if terms.filters else None
        self.found_room = False
        """Whether the namespace was within the bound at one moment; others may fill it again."""
        self._tally = Tally()

    @property
    def result(self) -> Collection:
        """What was done so far."""
        return self._tally.result

    def steps(self) -> Generator[Collected | None]:
        """Do it, and yield each blob once it is gone; None while another process collects.

        Raises:
            NoRootsError: Nothing in the namespace says what is wanted.
            FailedPreconditionError: This thread is in the midst of another run.
        """
        if is_at_work_here(self._parts.ingest):
            raise FailedPreconditionError(
                f"this thread is collecting in the store at {self._parts.root}; "
                "do not call `collect` from `progress`, but after the first call has returned"
            )
        self._check_roots()
        directory = files.open_directory(INGEST, within=self._parts.top)
        place = _place_of(directory)
        try:
            while not files.lock(directory.fd, directory.path):  # two do no harm, and no good
                yield None
            try:
                _at_work[place] = os.getpid(), threading.get_ident()
                yield from self._collect()
            finally:
                _at_work.pop(place, None)
        finally:
            files.unlock(directory.fd)
            directory.close()

    def _collect(self) -> Iterator[Collected]:
        self._start_clock()
        self._begin()
        self._check_roots()  # again: the leases of dead processes have ended
        self._drop_ingests()
        if self._is_too_early():
            return
        if self._terms.full:
            yield from self._pass(every_page)
            self._tally.saw_all = True
        if self._unused_ns is not None or self._terms.max_bytes is None:
            yield from self._pass_until_settled()
        if self._terms.max_bytes is not None:
            self._unused_ns = None
            self._down_to = self._find_low_mark(self._terms.max_bytes)
            yield from self._pass_until_settled()

    def _find_low_mark(self, max_bytes: int) -> int:
        """Return how many bytes the namespace may have; infinitely many if the bound is kept."""
        most = max_bytes - self._room_bytes
        if self._bytes_now() <= most:
            return _NO_MARK
        return min(self._terms.low_bytes or 0, most)

    def _bytes_now(self) -> int:
        totals = self._parts.index.totals()
        if totals is not None:
            return totals.bytes + totals.reserved
        if self._counted is None:  # takes a while where there are many
            self._counted = self._parts.index.usage().blob_bytes + self._tally.bytes
        return self._counted - self._tally.bytes

    def _pass_until_settled(self) -> Iterator[Collected]:
        before = -1
        while self._tally.blobs != before and not self._is_enough():
            before = self._tally.blobs  # what went may have kept others
            self._tally.begin_pass()
            self._look_at_clock()  # what went has queued others since
            yield from self._pass(due_page)

    def _start_clock(self) -> None:
        """Begin now, not before the wait for another run: what was stored meanwhile may go, too."""
        self._begun_ns = review().at_ns  # the time of review of what is stored now
        self._sieve.begun_ns = self._begun_ns
        self._look_at_clock()

    def _look_at_clock(self) -> None:
        self._now_ns = time.time_ns()
        fresh_after_ns = self._fresh_after_ns()
        if self._unused_ns is not None:
            unused_ns = reviews_of_unused(self._now_ns - self._unused_ns)
            fresh_after_ns = min(fresh_after_ns, unused_ns)
        self._horizon = Horizon(fresh_after_ns, self._old_before_ns)

    def _fresh_after_ns(self) -> int:
        """Return the time of review from which on a blob is fresh.

        Rows tell when the usual grace ends, and some a little more. A shorter grace ends that much
        earlier. Without any, only that is fresh which has been stored since the run began: it must
        end beside others that store.
        """
        return self._now_ns + GRACE_NS - self._grace_ns if self._grace_ns else self._begun_ns

    # -- R0 --------------------------------------------------------------------------------------

    def _begin(self) -> None:
        parts = self._parts
        if parts.packs is not None:  # what a killed process has not recorded must not come back
            replay_all(parts.packs, parts.index)
        begin_collecting(parts)
        if self._terms.is_of_cache and not parts.sharing.bounded:
            parts.sharing.announce(parts.top, bounded=True)  # reads note their time from now on
        end_dead_leases(parts, self._rest)

    def _check_roots(self) -> None:
        if self._terms.no_roots or self._terms.is_of_cache:
            return
        if not self._parts.index.has_roots():
            raise NoRootsError(self._parts.namespace)

    def _is_too_early(self) -> bool:
        begins = begins_ns(self._parts, self._grace_ns)
        if self._grace_ns and (begins is None or begins > time.time_ns()):
            self._tally.begins_ns = begins or time.time_ns() + self._grace_ns
            return True
        return False

    def _drop_ingests(self) -> None:
        if self._terms.ingests_ns is None:
            return
        before_ns = self._now_ns - self._terms.ingests_ns
        dry_run = self._terms.dry_run
        for _ in prune_ingests(self._parts, before_ns, dry_run=dry_run):
            self._tally.ingests += 1

    # -- R1 to R6 --------------------------------------------------------------------------------

    def _pass(self, next_page: NextPage) -> Iterator[Collected]:
        after: Candidate | None = None
        while not self._is_enough():
            page = next_page(self._parts, self._horizon.fresh_after_ns, after)
            if not page:
                return
            page = self._few(page)
            judged = self._sieve.judge(page, self._horizon)
            after = judged[-1].candidate
            self._dequeue(judged)
            garbage = self._sieve.choose(judged, self._rest)
            if self._terms.limit is not None:
                garbage = garbage[: self._terms.limit - self._tally.blobs]
            yield from self._take(self._cut(garbage))

    def _few(self, page: list[Candidate]) -> list[Candidate]:
        """Return the first ones, about as many as a run by a bound has to look at."""
        needed = self._cut(page)
        return page if len(needed) == len(page) else page[: len(needed) + _SPARE]

    def _cut(self, garbage: list[Candidate]) -> list[Candidate]:
        """Return the first ones, as many as a run by a bound has to take."""
        if self._down_to is None:
            return garbage
        left = self._bytes_now() - self._down_to
        for place, one in enumerate(garbage):
            if left <= 0:
                return garbage[:place]
            left -= one.size
        return garbage

    def _is_enough(self) -> bool:
        if self._terms.limit is not None and self._tally.blobs >= self._terms.limit:
            return True
        if self._down_to is None or self._bytes_now() > self._down_to:
            return False
        self.found_room = True
        return True

    def _dequeue(self, judged: list[Judged]) -> None:
        self._count(judged)
        left = [one for one in judged if one.verdict is not Verdict.GARBAGE]
        while left:
            self._rest()
            done = self._parts.index.dequeue(left, self._now_ns)
            left = left[done:]

    def _count(self, judged: list[Judged]) -> None:
        for one in judged:
            kept = None if one.verdict is Verdict.UNDECIDED else one.verdict is Verdict.KEPT
            waits = (one.candidate.review_ns or 0) > self._now_ns
            self._tally.see(one.candidate.digest, kept=kept, waits=waits)

    def _take(self, garbage: list[Candidate]) -> Iterator[Collected]:
        parts, left = self._parts, garbage
        taken: list[Buried] = []
        while left:
            self._rest()
            done, begun = parts.index.entomb_garbage(
                left, parts.shards.time, self._horizon, self._may_go
            )
            left = left[done:]
            taken += begun
        tombstones = [one.tombstone for one in taken]
        let_go_of_references(parts, tombstones, self._rest)
        finish_delete(parts, *tombstones, at_once=_BURIED_AT_ONCE, rest=self._rest)
        for tombstone, size in taken:
            yield self._tally.take(Collected(tombstone.digest, size))

    def _rest(self) -> None:
        """Leave the write lock to others for as long as this process last had it.

        Called before the lock is wanted again, so that what was done without it counts: reviews,
        syncs and the removal of files.
        """
        left = self._parts.index.rest_s(1 / _HASTE if self._room_bytes else 1)
        if left > 0:
            time.sleep(left)


def due_page(parts: Parts, horizon_ns: int, after: Candidate | None) -> list[Candidate]:
    """Return the next blobs of the queue whose time of review is not after a moment."""
    return parts.index.due(horizon_ns, after, _PAGE)


def every_page(parts: Parts, horizon_ns: int, after: Candidate | None) -> list[Candidate]:  # noqa: ARG001 - as above
    """Return the next blobs of all, in the order of their digests."""
    return parts.index.every(after, _PAGE)


def _place_of(ingest: Directory) -> tuple[int, int]:
    found = files.stat_open(ingest.fd, ingest.path)
    return found.st_dev, found.st_ino
