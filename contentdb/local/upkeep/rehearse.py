"""A dry run of a collection: what it would take, found without a change.

What would go has not gone, so it still refers to what it keeps: such content is followed downwards.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from contentdb.content import Collected
from contentdb.errors import UndecidedError
from contentdb.local.index.collecting import Candidate, Judged, Verdict
from contentdb.local.index.grace import reviews_of_unused
from contentdb.local.index.leasing import CONTENT
from contentdb.local.leases import is_dead
from contentdb.local.upkeep.collect import Run, due_page, every_page

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

__all__ = ["Rehearsal"]


class Rehearsal(Run):
    """A `Run` that changes nothing."""

    def steps(self) -> Generator[Collected | None]:
        """Yield what would go: what is due and nothing keeps, and what that alone refers to."""
        self._start_clock()
        self._check_roots()
        self._drop_ingests()
        if self._is_too_early():
            return
        if self._terms.is_of_cache:
            yield from self._rehearse_by_use()
            return
        next_page = every_page if self._terms.full else due_page
        with closing(sqlite3.connect("", isolation_level=None)) as seen:  # in a file, once large
            seen.execute("CREATE TABLE seen (digest TEXT PRIMARY KEY, open INT) WITHOUT ROWID")
            after: Candidate | None = None
            while page := next_page(self._parts, self._horizon.fresh_after_ns, after):
                judged = self._sieve.judge(page, self._horizon)
                after = judged[-1].candidate
                self._count(judged)
                for one in judged:
                    if one.verdict is Verdict.GARBAGE and self._sieve.may_all_go(one):
                        yield from self._descend(seen, one.candidate.digest)
                        if self._is_enough():
                            return
            for digest in self._let_go_soon():
                yield from self._descend(seen, digest)

    def _rehearse_by_use(self) -> Iterator[Collected]:
        """Yield what would go, what was not used for longest first.

        What only that refers to is left out, and may go instead of something else.
        """
        unused_ns, self._unused_ns = self._unused_ns, None
        self._look_at_clock()
        before_ns = 0 if unused_ns is None else reviews_of_unused(self._now_ns - unused_ns)
        left = 0
        if self._terms.max_bytes is not None:
            left = self._bytes_now() - self._find_low_mark(self._terms.max_bytes)
        for one, review_ns in self._sieve.in_order(self._judged(), self._horizon):
            if self._is_enough() or (review_ns > before_ns and left <= 0):
                return
            left -= one.size
            yield self._tally.take(Collected(one.digest, one.size))

    def _judged(self) -> Iterator[Judged]:
        next_page = every_page if self._terms.full else due_page
        after: Candidate | None = None
        while page := next_page(self._parts, self._horizon.fresh_after_ns, after):
            judged = self._sieve.judge(page, self._horizon)
            after = judged[-1].candidate
            self._count(judged)
            yield from judged

    def _let_go_soon(self) -> Iterator[str]:
        """Yield what is in leases that have expired, and that a run lets go of first."""
        for row, _ in self._parts.index.lease_rows():
            if is_dead(self._parts, row):
                items = self._parts.index.lease_items(row.key, ended=True)
                yield from (name for kind, name in items if kind == CONTENT)

    def _descend(self, seen: sqlite3.Connection, top: str) -> Iterator[Collected]:
        """Yield a blob, if nothing keeps it, and each below it that nothing else keeps, once."""
        _note(seen, top)
        while row := seen.execute("SELECT digest FROM seen WHERE open LIMIT 1").fetchone():
            seen.execute("UPDATE seen SET open = 0 WHERE digest = ?", row)
            found = self._parts.index.one_row(row[0])
            if found is None:
                continue
            try:
                unkept = self._parts.index.unkept(found.digest, self._horizon, self._may_go)
            except UndecidedError:
                continue
            if not unkept:
                continue
            yield self._tally.take(Collected(found.digest, found.size))
            if self._is_enough():
                return
            for text in unkept + self._parts.index.children(found.digest):
                _note(seen, text)


def _note(seen: sqlite3.Connection, digest: str) -> None:
    seen.execute("INSERT OR IGNORE INTO seen VALUES (?, 1)", (str(digest),))
