"""Which garbage a collection may take: what its filters select, and what was not used since queued.

The queue is the ring of a CLOCK: a blob that was read since it got its place moves to where its
last use belongs (second chance), so what comes first was not used for longest. A read writes only
the time of access of the blob's file (`contentdb.local.last_use`); a packed blob has none, and is
as old as the last answer that it is stored.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from contentdb import files
from contentdb.digest import Digest
from contentdb.errors import ContentDBError
from contentdb.filters import parse
from contentdb.filters.items import fields_of_info
from contentdb.local.index.collecting import Candidate, Verdict
from contentdb.local.index.grace import review_after_use
from contentdb.local.last_use import find_use, forget_use

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from contentdb.content import Info
    from contentdb.engine import CollectTerms
    from contentdb.local.index.collecting import Going, Judged
    from contentdb.local.index.why import Horizon
    from contentdb.local.resources import Parts

__all__ = ["Sieve"]


class Sieve:
    """Lets through what may go."""

    def __init__(self, parts: Parts, terms: CollectTerms) -> None:
        self._parts = parts
        self.begun_ns = 0
        """The time of review of what was stored when the run began.

        No use moves a blob behind that, where the run does not look: else a cache whose content was
        all used since could not make room.
        """
        self._by_use = terms.is_of_cache
        self._chosen = parse(*terms.filters) if terms.filters else None

    @property
    def lets_all_through(self) -> bool:
        """Whether there is nothing to ask."""
        return self._chosen is None and not self._by_use

    def may_go(self, info: Info) -> bool:
        """Return whether the filters select a blob."""
        return self._chosen is None or self._chosen.matches(fields_of_info(info))

    def judge(self, page: Sequence[Candidate], horizon: Horizon) -> list[Judged]:
        """Find what keeps each candidate, and what `choose` asks of those that nothing keeps."""
        asks = not self.lets_all_through
        labels = self._chosen is not None
        return self._parts.index.judge(page, horizon, going=asks, labels=labels)

    def choose(self, judged: Sequence[Judged], rest: Callable[[], object]) -> list[Candidate]:
        """Return the garbage that may go now; what was used gets a later time of review.

        ``rest`` is called before each slice that writes.
        """
        chosen, used = [], []
        for one in judged:
            if one.verdict is not Verdict.GARBAGE or not self.may_all_go(one):
                continue
            review_ns = self._review_of(one)
            if self._by_use and review_ns > (one.candidate.review_ns or 0):
                used.append((one, review_ns))
            else:
                chosen.append(one.candidate)
        self._parts.index.put_off([(one.candidate, review_ns) for one, review_ns in used], rest)
        for one, _ in used:  # after that: a kill between the two gives a blob one chance more
            self._forget_uses(one.going)
        return chosen

    def may_all_go(self, one: Judged) -> bool:
        """Return whether the filters select a blob and all above it."""
        if self.lets_all_through:
            return True
        return bool(one.going) and all(self.may_go(each.info) for each in one.going)

    def _review_of(self, one: Judged) -> int:
        """Return where a blob belongs in the queue, by its last use and that of what is above."""
        return max(map(self._review_by_use, one.going)) if self._by_use else 0

    def _review_by_use(self, one: Going) -> int:
        """Return where a blob belongs in the queue by its last use."""
        info = one.info
        found = self._parts.shards.stat(info.digest)
        used_ns = 0 if found is None else find_use(found)
        by_use_ns = review_after_use(max(used_ns, info.created_ns, info.updated_ns))
        return max(one.review_ns or 0, min(by_use_ns, self.begun_ns))

    def _forget_uses(self, going: Sequence[Going]) -> None:
        for one in going:
            with suppress(ContentDBError):  # damaged or gone by now
                found = self._parts.shards.stat(one.info.digest)
                fd = self._parts.shards.open(one.info.digest) if found and find_use(found) else None
                if fd is not None and found is not None:
                    forget_use(fd, found)
                    files.let_go(fd)

    def in_order(
        self, judged: Iterable[Judged], horizon: Horizon
    ) -> Iterator[tuple[Candidate, int]]:
        """Yield what may go and its time of review, what was not used for longest first."""
        with closing(sqlite3.connect("", isolation_level=None)) as ring:  # in a file, once large
            ring.execute("CREATE TABLE ring (review INT, digest TEXT, size INT)")
            for one in judged:
                if one.verdict is not Verdict.GARBAGE or not self.may_all_go(one):
                    continue
                review_ns = self._review_of(one)
                if review_ns <= horizon.fresh_after_ns:
                    row = (review_ns, str(one.candidate.digest), one.candidate.size)
                    ring.execute("INSERT INTO ring VALUES (?, ?, ?)", row)
            for review_ns, digest, size in ring.execute("SELECT * FROM ring ORDER BY 1, 2"):
                yield Candidate(Digest(digest), review_ns, size), review_ns
