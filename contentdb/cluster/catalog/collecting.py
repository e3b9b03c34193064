"""The transactions of a collection; each is short, and hosts may collect side by side.

A page of the queue is claimed by row locks that others skip, so two hosts do not look at the same.
Garbage is taken only once its rows are locked and what keeps it was asked again: a call that
makes a root of a blob, or tells that it is stored, locks the same rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from contentdb.cluster.catalog.blobs import LOCK, take_out
from contentdb.cluster.catalog.leases import IS_ALIVE
from contentdb.cluster.catalog.why import Horizon, Way, climb
from contentdb.cluster.session import LIVES
from contentdb.cluster.sql import NOW_NS
from contentdb.digest import Digest
from contentdb.references import ROOT
from contentdb.values import Collected

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from contentdb.cluster.sql import Connection, Database
    from contentdb.content import Info

__all__ = [
    "Candidate",
    "Judged",
    "Place",
    "begin",
    "count_queue",
    "has_roots",
    "moment",
    "read_page",
    "review",
    "since",
    "take",
]

_PAGE: Final = 128
_LATER_NS: Final = 60 * 10**9
"""After that what was undecided is looked at again: its dead parents may be gone by then."""
_INGEST_NS: Final = 3600 * 10**9
"""After that what only an ingest expects is looked at again: its end queues nothing."""
_NOW: Final = f"SELECT {NOW_NS}"
_OLDER: Final = f"""EXISTS (SELECT 1 FROM sessions s WHERE s.revision IS NULL
AND ({LIVES.format(session="s.id")}
    OR extract(epoch FROM s.started_at) * 1000000000 >= c.since_ns))"""  # noqa: S608 - a constant
"""SQL for whether a process of before there were collections writes, or has since the first one."""
_SINCE: Final = f"""
SELECT CASE WHEN NOT {_OLDER} THEN c.since_ns END, c.old_before_ns FROM collection c"""  # noqa: S608 - constants
_BEGIN: Final = f"""
UPDATE collection c SET since_ns = {NOW_NS},
    old_before_ns = CASE WHEN c.old_before_ns = 0 AND NOT {_OLDER} THEN 0 ELSE {NOW_NS} END
WHERE c.since_ns IS NULL OR {_OLDER}"""  # noqa: S608 - constants
_ROOTS: Final = f"""
SELECT EXISTS (SELECT 1 FROM tags WHERE namespace = %(namespace)s)
OR EXISTS (SELECT 1 FROM leases l WHERE l.namespace = %(namespace)s AND {IS_ALIVE})
OR EXISTS (SELECT 1 FROM blobs WHERE namespace = %(namespace)s AND labels ? '{ROOT}')"""  # noqa: S608 - constants
_COUNT: Final = f"""
SELECT count(*), count(*) FILTER (WHERE review_at <= {NOW_NS}), min(review_at) FILTER (
    WHERE review_at <= {NOW_NS}) FROM queue WHERE namespace = %(namespace)s"""  # noqa: S608 - constants
_DUE: Final = """
SELECT q.digest, q.review_at, (SELECT b.size FROM blobs b
    WHERE b.namespace = q.namespace AND b.digest = q.digest)
FROM queue q WHERE q.namespace = %(namespace)s AND q.review_at <= %(horizon)s
AND (q.review_at, q.digest) > (%(at)s, %(after)s)
ORDER BY q.review_at, q.digest LIMIT %(limit)s"""
_CLAIM: Final = " FOR UPDATE OF q SKIP LOCKED"
_EVERY: Final = """
SELECT b.digest, q.review_at, b.size FROM blobs b LEFT JOIN queue q USING (namespace, digest)
WHERE b.namespace = %(namespace)s AND b.digest > %(after)s ORDER BY b.digest LIMIT %(limit)s"""
_DEQUEUE: Final = """
DELETE FROM queue q USING unnest(%(digests)s::text[], %(seen)s::bigint[]) AS d(digest, seen)
WHERE q.namespace = %(namespace)s AND q.digest = d.digest AND q.review_at = d.seen"""
_PUT_OFF: Final = """
UPDATE queue q SET review_at = d.later
FROM unnest(%(digests)s::text[], %(seen)s::bigint[], %(later)s::bigint[]) AS d(digest, seen, later)
WHERE q.namespace = %(namespace)s AND q.digest = d.digest AND q.review_at = d.seen"""
_LOCK_BLOBS: Final = """
SELECT digest FROM blobs WHERE namespace = %(namespace)s AND digest = ANY(%(digests)s::text[])
ORDER BY digest FOR UPDATE"""


class Candidate(NamedTuple):
    """A row that a collection looks at."""

    digest: Digest
    review_ns: int | None
    """As it was seen; None if it was not in the queue."""
    size: int | None
    """None for a row of the queue whose blob is gone."""


class Judged(NamedTuple):
    """A candidate, and what was found."""

    candidate: Candidate
    way: Way

    @property
    def is_garbage(self) -> bool:
        """Whether nothing keeps it."""
        return self.candidate.size is not None and bool(self.way.unkept)


class Place(NamedTuple):
    """How far a pass over the queue, or over all blobs, has come."""

    every: bool
    at_ns: int = -1
    after: str = ""


def moment(database: Database) -> int:
    """Return the time by the server's clock."""
    return int(database.rows(_NOW)[0][0])


# -- before a run ----------------------------------------------------------------------------------


def since(database: Database) -> tuple[int | None, int]:
    """Return since when all answers are written down, if at all; and before when blobs are old."""
    found, old_before_ns = database.rows(_SINCE)[0]
    return found, old_before_ns


def begin(database: Database) -> None:
    """Note that from now on answers are written down, unless that was noted.

    It is noted anew where a process of an older version has written since: its blobs are old.
    """
    database.change(_BEGIN)


def has_roots(database: Database, namespace: str) -> bool:
    """Return whether the namespace has a tag, a live lease, or a label that makes a root."""
    return bool(database.rows(_ROOTS, {"namespace": namespace})[0][0])


def count_queue(database: Database, namespace: str) -> tuple[int, int, int | None]:
    """Count what is in the queue and what of it is due; return also since when the oldest is."""
    queued, due, oldest_ns = database.rows(_COUNT, {"namespace": namespace})[0]
    return queued, due, oldest_ns


# -- what keeps the candidates ---------------------------------------------------------------------


def read_page(
    connection: Connection[Any], namespace: str, place: Place, horizon: Horizon, *, claim: bool
) -> list[Candidate]:
    """Return the next rows; with ``claim`` those of the queue are locked, and locked ones left."""
    values: dict[str, Any] = {"namespace": namespace, "limit": _PAGE, "after": place.after}
    values |= {"at": place.at_ns, "horizon": horizon.fresh_after_ns}
    statement = _EVERY if place.every else _DUE + (_CLAIM if claim else "")
    rows = connection.execute(statement, values).fetchall()
    return [Candidate(Digest(digest), review_ns, size) for digest, review_ns, size in rows]


def review(
    database: Database, namespace: str, place: Place, horizon: Horizon, *, labels: bool
) -> list[Judged]:
    """Judge the next rows, and take those that something keeps out of the queue.

    A kept one leaves it only with the time that was seen: a call that takes a reference away
    changes it, and so does an answer that the blob is stored. One that is kept until a date stays
    for that.
    """

    def work(connection: Connection[Any]) -> list[Judged]:
        page = read_page(connection, namespace, place, horizon, claim=True)
        digests = [str(one.digest) for one in page]
        ways = climb(connection, namespace, digests, horizon, labels=labels)
        judged = [Judged(one, way) for one, way in zip(page, ways, strict=True)]
        _dequeue(connection, namespace, judged, horizon.now_ns)
        return judged

    return database.transact(work)


def _dequeue(
    connection: Connection[Any], namespace: str, judged: Sequence[Judged], now_ns: int
) -> None:
    gone: list[tuple[str, int]] = []
    later: list[tuple[str, int, int]] = []
    for one in judged:
        digest, seen_ns = str(one.candidate.digest), one.candidate.review_ns
        if seen_ns is None or seen_ns > now_ns or one.is_garbage:
            continue
        until_ns = _look_again(one, now_ns)
        if until_ns is None:
            gone.append((digest, seen_ns))
        else:
            later.append((digest, seen_ns, until_ns))
    if gone:
        digests, seen = zip(*gone, strict=True)
        connection.execute(
            _DEQUEUE, {"namespace": namespace, "digests": list(digests), "seen": list(seen)}
        )
    if later:
        digests, seen, until = zip(*later, strict=True)
        values = {"namespace": namespace, "digests": list(digests), "seen": list(seen)}
        connection.execute(_PUT_OFF, values | {"later": list(until)})


def _look_again(one: Judged, now_ns: int) -> int | None:
    """Return when to look at a row again, though nothing happens until then."""
    way = one.way
    if one.candidate.size is None:
        return None
    if way.is_undecided:
        return now_ns + _LATER_NS
    if way.root is None or not way.is_own or way.root.until_ns is None:
        return None
    return way.root.until_ns + (_INGEST_NS if way.root.step.kind == "ingest" else 0)


# -- what nothing keeps ----------------------------------------------------------------------------


def take(
    database: Database,
    namespace: str,
    garbage: Sequence[Judged],
    horizon: Horizon,
    may_go: Callable[[Info], bool] | None = None,
) -> list[Collected]:
    """Remove blobs that nothing keeps, asked again once their rows are locked; durable.

    What is above such a blob goes with it: a parent never stays without its child. Where there is
    more above it by now, it stays for the next time. With ``may_go`` only those go for which it
    says so, for them and for all above.
    """

    def work(connection: Connection[Any]) -> list[Collected]:
        wanted = {str(node.info.digest) for one in garbage for node in one.way.unkept}
        values = {"namespace": namespace, "digests": sorted(wanted)}
        connection.execute(LOCK, values)  # objects first, as a commit locks them
        connection.execute(_LOCK_BLOBS, values)
        digests = [str(one.candidate.digest) for one in garbage]
        going: dict[str, Info] = {}
        for way in climb(connection, namespace, digests, horizon, labels=may_go is not None):
            infos = {str(node.info.digest): node.info for node in way.unkept}
            if infos.keys() <= wanted and (may_go is None or all(map(may_go, infos.values()))):
                going |= infos
        if going:
            take_out(connection, namespace, list(going))
        return [Collected(info.digest, info.size) for info in going.values()]

    return database.transact(work)
