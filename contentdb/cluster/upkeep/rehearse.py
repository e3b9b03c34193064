"""A dry run of a collection: what it would take, found without a change.

What would go has not gone, so it still refers to what it keeps: such content is followed downwards.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

from contentdb.cluster.catalog import lease_items, leases
from contentdb.cluster.catalog.collecting import Judged, Place, read_page
from contentdb.cluster.catalog.lease_items import CONTENT
from contentdb.cluster.catalog.why import climb, expand
from contentdb.cluster.upkeep.collect import Run
from contentdb.content import Collected

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from contentdb.cluster.catalog.why import Way
    from contentdb.cluster.sql import Connection

__all__ = ["Rehearsal"]

_AT_ONCE: Final = 64


class Rehearsal(Run):
    """A `Run` that changes nothing."""

    def steps(self) -> Iterator[Collected]:
        """Yield what would go: what is due and nothing keeps, and what that alone refers to."""
        self._start_clock()
        self._check_roots()
        self._drop_ingests()
        if self._is_too_early():
            return
        with closing(sqlite3.connect("", isolation_level=None)) as seen:  # in a file, once large
            seen.execute("CREATE TABLE seen (digest TEXT PRIMARY KEY, open INT) WITHOUT ROWID")
            place = Place(self._terms.full)
            while page := self._database.transact(lambda one: self._judge(one, place)):  # noqa: B023 - called at once
                place = self._behind(place, page)
                self._count(page)
                _note(seen, (one.way.digest for one in page if self._is_wanted_gone(one)))
                yield from self._descend(seen)
                if self._is_enough():
                    return
            for lease in leases.dead(self._database, self._namespace, dry_run=True):
                found = lease_items.items(self._database, lease)
                _note(seen, (item.name for item in found if item.kind == CONTENT))
                yield from self._descend(seen)

    def _judge(self, connection: Connection[Any], place: Place) -> list[Judged]:
        page = read_page(connection, self._namespace, place, self._horizon, claim=False)
        return [Judged(*pair) for pair in zip(
            page, self._climb(connection, [str(one.digest) for one in page]), strict=True
        )]  # fmt: skip

    def _climb(self, connection: Connection[Any], digests: list[str]) -> list[Way]:
        labels = self._may_go is not None
        return climb(connection, self._namespace, digests, self._horizon, labels=labels)

    def _descend(self, seen: sqlite3.Connection) -> Iterator[Collected]:
        """Yield what is noted and nothing keeps, and what is below it and nothing else keeps."""
        while rows := seen.execute(
            f"SELECT digest FROM seen WHERE open LIMIT {_AT_ONCE}"  # noqa: S608 - a constant
        ).fetchall():
            some = [row[0] for row in rows]
            seen.executemany("UPDATE seen SET open = 0 WHERE digest = ?", rows)
            ways, below = self._database.transact(
                lambda one: self._look(one, some)  # noqa: B023 - called at once
            )
            _note(seen, below)
            for way in ways:
                info = way.there[0].info
                yield self._tally.take(Collected(info.digest, info.size))
                if self._is_enough():
                    return

    def _look(self, connection: Connection[Any], some: list[str]) -> tuple[list[Way], list[str]]:
        """Return the ways of those that would go, and what goes or may go with them."""
        ways = [
            way
            for way in self._climb(connection, some)
            if way.unkept
            and (self._may_go is None or all(self._may_go(node.info) for node in way.unkept))
        ]
        above = [str(node.info.digest) for way in ways for node in way.unkept]
        below = expand(connection, self._namespace, [way.digest for way in ways])
        return ways, above + below


def _note(seen: sqlite3.Connection, digests: Iterable[str]) -> None:
    seen.executemany("INSERT OR IGNORE INTO seen VALUES (?, 1)", ((one,) for one in digests))
