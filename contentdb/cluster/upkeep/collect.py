"""Take the blobs that nothing keeps.

A run looks at the rows whose time has come, finds what keeps each by the way up its references, and
takes those that nothing keeps. Nothing is marked, so a run costs what has changed since the last.
It may be killed at any step, and hosts may write and collect meanwhile. The objects of what goes
are in the trash then; a prune deletes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from contentdb.cluster.catalog import collecting, lease_items, leases
from contentdb.cluster.catalog.collecting import Judged, Place
from contentdb.cluster.catalog.keep import FRESH_NS
from contentdb.cluster.catalog.why import Horizon
from contentdb.cluster.upkeep.prune import prune_ingests
from contentdb.errors import NoRootsError
from contentdb.expiry import GRACE_NS
from contentdb.filters import parse
from contentdb.filters.items import fields_of_info
from contentdb.findings import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentdb.cluster.resources import Resources
    from contentdb.content import Collected, Collection, Info
    from contentdb.engine import CollectTerms

__all__ = ["Run"]

_AT_ONCE: Final = 32
"""Blobs that go in one transaction, with what is above them; their rows are locked meanwhile."""


class Run:
    """One collection of a namespace."""

    def __init__(self, resources: Resources, namespace: str, terms: CollectTerms) -> None:
        self._resources = resources
        self._database = resources.database
        self._namespace = namespace
        self._terms = terms
        self._grace_ns = GRACE_NS if terms.grace_ns is None else terms.grace_ns
        self._chosen = parse(*terms.filters) if terms.filters else None
        self._may_go = None if self._chosen is None else self._is_chosen
        self._begun_ns = 0
        self._old_before_ns = 0
        self._horizon = Horizon(0, 0)
        self._tally = Tally()

    @property
    def result(self) -> Collection:
        """What was done so far."""
        return self._tally.result

    def steps(self) -> Iterator[Collected]:
        """Do it, and yield each blob once it is gone.

        Raises:
            NoRootsError: Nothing in the namespace says what is wanted.
        """
        self._check_roots()
        self._begin()
        self._check_roots()  # again: the leases of dead processes have ended
        self._drop_ingests()
        if self._is_too_early():
            return
        if self._terms.full:
            yield from self._pass(every=True)
            self._tally.saw_all = True
        before = -1
        while self._tally.blobs != before and not self._is_enough():
            before = self._tally.blobs  # what went may have kept others
            self._tally.begin_pass()
            self._look_at_clock()  # what went has queued others since
            yield from self._pass(every=False)

    # -- before it takes anything ----------------------------------------------------------------

    def _begin(self) -> None:
        collecting.begin(self._database)
        for lease in leases.dead(self._database, self._namespace, dry_run=False):
            lease_items.let_go(self._database, self._namespace, lease)
        self._start_clock()

    def _start_clock(self) -> None:
        self._begun_ns = collecting.moment(self._database) + FRESH_NS
        self._old_before_ns = 0 if self._terms.full else collecting.since(self._database)[1]
        self._look_at_clock()

    def _look_at_clock(self) -> None:
        """Find from which time of review on a blob is fresh.

        Rows tell when the usual grace ends, and some a little more. A shorter grace ends that much
        earlier. Without any, only that is fresh which has been stored since the run began: it must
        end beside others that store.
        """
        now_ns = collecting.moment(self._database)
        fresh_ns = now_ns + GRACE_NS - self._grace_ns if self._grace_ns else self._begun_ns
        self._horizon = Horizon(now_ns, fresh_ns, self._old_before_ns)

    def _check_roots(self) -> None:
        if not (self._terms.no_roots or collecting.has_roots(self._database, self._namespace)):
            raise NoRootsError(self._namespace)

    def _is_too_early(self) -> bool:
        since_ns = collecting.since(self._database)[0]
        begins_ns = (self._horizon.now_ns if since_ns is None else since_ns) + self._grace_ns
        if self._grace_ns and begins_ns > self._horizon.now_ns:
            self._tally.begins_ns = begins_ns
            return True
        return False

    def _drop_ingests(self) -> None:
        if self._terms.ingests_ns is not None:
            age_s = self._terms.ingests_ns / 1e9
            dropped = prune_ingests(
                self._resources, self._namespace, age_s, dry_run=self._terms.dry_run
            )
            self._tally.ingests = sum(1 for _ in dropped)

    # -- the passes ------------------------------------------------------------------------------

    def _pass(self, *, every: bool) -> Iterator[Collected]:
        place = Place(every)
        while not self._is_enough():
            page = collecting.review(
                self._database, self._namespace, place, self._horizon, labels=bool(self._may_go)
            )
            if not page:
                return
            place = self._behind(place, page)
            self._count(page)
            garbage = [one for one in page if self._is_wanted_gone(one)]
            if self._terms.limit is not None:
                garbage = garbage[: self._terms.limit - self._tally.blobs]
            for at in range(0, len(garbage), _AT_ONCE):
                yield from self._take(garbage[at : at + _AT_ONCE])

    @staticmethod
    def _behind(place: Place, page: list[Judged]) -> Place:
        last = page[-1].candidate
        return Place(place.every, last.review_ns or 0, str(last.digest))

    def _is_wanted_gone(self, one: Judged) -> bool:
        """Return whether nothing keeps a blob, and the filters select it and all above it."""
        if not one.is_garbage:
            return False
        return self._may_go is None or all(self._may_go(node.info) for node in one.way.unkept)

    def _is_chosen(self, info: Info) -> bool:
        assert self._chosen is not None  # noqa: S101 - only then it is asked
        return self._chosen.matches(fields_of_info(info))

    def _take(self, garbage: list[Judged]) -> Iterator[Collected]:
        for one in collecting.take(
            self._database, self._namespace, garbage, self._horizon, self._may_go
        ):
            yield self._tally.take(one)

    def _is_enough(self) -> bool:
        return self._terms.limit is not None and self._tally.blobs >= self._terms.limit

    def _count(self, judged: list[Judged]) -> None:
        for one in judged:
            if one.candidate.size is None:
                continue
            kept = None if one.way.is_undecided else not one.is_garbage
            waits = (one.candidate.review_ns or 0) > self._horizon.now_ns
            self._tally.see(one.candidate.digest, kept=kept, waits=waits)
