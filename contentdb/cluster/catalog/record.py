"""The commit: one statement makes content that is whole in the object store, or in the row, a blob.

It locks the session's row, so that no commit of a session gets through that a prune has judged
dead; then objects, in the order of their digests; then blobs. Keys that another commit of the same
content made needless go to the trash. A lease, whose row is locked first, has the blobs in the same
statement, new or not, and their grace begins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from contentdb.cluster.catalog.keep import LEASE_ITEMS, LEASED, REVIEWS, lease_values
from contentdb.cluster.catalog.leases import check_lives
from contentdb.cluster.extents import pack_runs
from contentdb.cluster.session import free_notice
from contentdb.cluster.sql import NOW_NS, Jsonb
from contentdb.content import Info

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from contentdb.cluster.catalog.ingests import IngestKey
    from contentdb.cluster.catalog.leases import LeaseKey
    from contentdb.cluster.extents import Place, Run
    from contentdb.cluster.sql import Connection, Database
    from contentdb.digest import Digest
    from contentdb.labels import Labelling

__all__ = ["LOST_KEYS", "Candidate", "FencedError", "Recorded", "record", "record_found", "trash"]

LOST_KEYS: Final = """
    SELECT key, NULL::int AS count FROM lost WHERE key IS NOT NULL
    UNION SELECT (r ->> 0) || lpad(r ->> 1, 8, '0'), (r ->> 2)::int
    FROM lost, jsonb_array_elements(runs) r"""
"""The rows for the trash of what ``lost`` names: a table, within a statement, of key and runs."""
_ENDED: Final = """
ended AS (
    DELETE FROM ingests WHERE namespace = %(namespace)s AND ref_hash = %(ref)s
    AND token = %(token)s AND EXISTS (SELECT 1 FROM alive) RETURNING 1
),"""
_RECORD: Final = f"""
WITH {{leased}}alive AS MATERIALIZED (
    SELECT 1 FROM {{lease}}sessions s WHERE s.id = %(session)s AND NOT s.fenced FOR SHARE OF s
), {{ended}}
given AS MATERIALIZED (
    SELECT g.* FROM {{source}}, unnest(
        %(digests)s::text[], %(sizes)s::bigint[], %(checksums)s::bigint[], %(keys)s::text[],
        %(runs)s::jsonb[], %(inlines)b::bytea[], %(labels)s::jsonb[]
    ) AS g(digest, size, checksum, key, runs, inline, labels)
    WHERE NOT EXISTS (SELECT 1 FROM trash WHERE key = ANY(%(keys)s::text[]))
), bad AS MATERIALIZED (
    SELECT o.digest, o.key, o.runs FROM objects o JOIN given USING (digest) WHERE o.damaged
), made AS (
    INSERT INTO objects AS o (digest, size, checksum, key, runs, inline)
    SELECT digest, size, checksum, key, runs, inline FROM given ORDER BY digest
    ON CONFLICT (digest) DO UPDATE SET
        key = CASE WHEN o.damaged THEN excluded.key ELSE o.key END,
        runs = CASE WHEN o.damaged THEN excluded.runs ELSE o.runs END,
        inline = CASE WHEN o.damaged THEN excluded.inline ELSE o.inline END,
        checksum = CASE WHEN o.damaged THEN excluded.checksum ELSE o.checksum END,
        damaged = false
    RETURNING digest, key
), listed AS (
    INSERT INTO blobs (namespace, digest, size, created_ns, updated_ns, labels)
    SELECT %(namespace)s, given.digest, given.size, t.now, t.now, given.labels
    FROM given JOIN made USING (digest), (SELECT {NOW_NS} AS now) t ORDER BY given.digest
    ON CONFLICT DO NOTHING RETURNING digest, created_ns
), lost AS (
    SELECT given.key, given.runs FROM given JOIN made USING (digest)
    WHERE given.key IS DISTINCT FROM made.key
    UNION ALL SELECT bad.key, bad.runs FROM bad JOIN made USING (digest)
    WHERE bad.key IS DISTINCT FROM made.key
    UNION ALL SELECT NULL, s.runs FROM (SELECT %(spare)s::jsonb AS runs) s, {{source}}
), thrown AS (
    INSERT INTO trash (key, count)
    SELECT key, count FROM ({LOST_KEYS}) AS k ORDER BY key ON CONFLICT DO NOTHING
), {{items}}fresh AS ({REVIEWS.format(source="made")})
SELECT given.digest, listed.created_ns,
    coalesce(listed.created_ns, b.created_ns, {NOW_NS}){{notify}}
FROM given LEFT JOIN listed USING (digest)
LEFT JOIN blobs b ON b.namespace = %(namespace)s AND b.digest = given.digest"""  # noqa: S608 - constants
_ITEM: Final = f"item AS ({LEASE_ITEMS.format(source='made')}), "


def _statement(*, ends: bool, leased: bool) -> str:
    """Return the commit of one that ends an ingest, or not; under a lease, or not."""
    return _RECORD.format(
        ended=_ENDED if ends else "",
        source="ended" if ends else "alive",
        notify=", pg_notify(%(channel)s, %(notice)s)::text" if ends else "",
        leased=f"{LEASED}, " if leased else "",
        lease="leased, " if leased else "",
        items=_ITEM if leased else "",
    )


_STATEMENTS: Final = {
    (ends, leased): _statement(ends=ends, leased=leased)
    for ends in (False, True)
    for leased in (False, True)
}
_DONE: Final = f"""
SELECT created_ns FROM blobs WHERE namespace = %(namespace)s AND digest = ANY(%(digests)s)
UNION ALL SELECT {NOW_NS} FROM trash WHERE key = ANY(%(keys)s::text[]) LIMIT 1"""  # noqa: S608 - a constant
_THROWN: Final = """
SELECT 1 FROM trash WHERE key = ANY(%(keys)s::text[])
UNION ALL SELECT 1 FROM objects WHERE digest = ANY(%(digests)s) AND key = %(needless)s::text
LIMIT 1"""
_HOLDS: Final = """
SELECT 1 FROM ingests WHERE namespace = %(namespace)s AND ref_hash = %(ref)s
AND token = %(token)s FOR UPDATE"""
_TRASH: Final = f"""
WITH lost AS (SELECT %(key)s::text AS key, %(spare)s::jsonb AS runs)
INSERT INTO trash (key, count) SELECT key, count FROM ({LOST_KEYS}) AS k ORDER BY key
ON CONFLICT DO NOTHING"""  # noqa: S608 - a constant


class FencedError(Exception):
    """Nothing was recorded: the session was judged dead, or another writer has taken the ref.

    The argument is the session.
    """


class Candidate(NamedTuple):
    """Content whose bytes are where its place says, whole and verified."""

    digest: Digest
    size: int
    checksum: int
    place: Place
    labels: Labelling

    def info(self, created_ns: int) -> Info:
        """Return the Info of the blob that it has become."""
        return Info(self.digest, self.size, created_ns, created_ns, dict(self.labels.new) or None)


class Recorded(NamedTuple):
    """What became of one candidate."""

    candidate: Candidate
    created_ns: int | None
    """None for content that the namespace had already."""
    since_ns: int
    """When the content came, by the server's clock, new or not."""


def record(
    database: Database,
    namespace: str,
    session: int,
    candidates: Sequence[Candidate],
    *,
    ingest: IngestKey | None = None,
    channel: str = "",
    spare: Iterable[Run] = (),
    lease: LeaseKey | None = None,
) -> list[Recorded]:
    """Make candidates blobs, all with different digests; durable on return.

    Args:
        database: Of the store.
        namespace: That gets the blobs.
        session: That wrote the objects.
        candidates: What becomes a blob.
        ingest: That ends with the one candidate.
        channel: Where those listen that wait for its ref.
        spare: Objects of the ingest that the blob does not need.
        lease: That keeps the blobs.

    Raises:
        FencedError, LeaseEndedError: Nothing was recorded.
    """
    values = _values(namespace, session, candidates)
    values["spare"] = Jsonb(pack_runs(spare))
    if ingest is not None:
        values |= {"ref": ingest.ref_hash, "token": ingest.token, "channel": channel}
        values["notice"] = free_notice(namespace, ingest.ref)
    if lease is not None:
        values |= lease_values(lease, [one.digest for one in candidates])
    statement = _STATEMENTS[ingest is not None, lease is not None]
    rows = database.transact(
        lambda one: one.execute(statement, values).fetchall(),
        alone=True,
        lost=lambda: _record_watchfully(database, statement, values),
    )
    if len(rows) != len(candidates):
        if lease is not None:
            database.transact(lambda one: check_lives(one, lease))
        raise FencedError(session)
    times = {row[0]: (row[1], row[2]) for row in rows}
    return [Recorded(one, *times[str(one.digest)]) for one in candidates]


def record_found(
    database: Database,
    namespace: str,
    session: int,
    candidate: Candidate,
    *,
    needless: str | None = None,
    spare: Iterable[Run] = (),
) -> None:
    """Make content a blob whose objects were found: a row may have named them; durable on return.

    Args:
        database: Of the store.
        namespace: That gets the blob.
        session: Of this process.
        candidate: What becomes a blob.
        needless: Key of another copy, which goes to the trash.
        spare: Objects of that copy that the blob does not need.

    Raises:
        FencedError: Nothing was recorded: the objects are in the trash by now, say, or the row of
            the content names the needless key.
    """
    values = _values(namespace, session, [candidate]) | {"spare": Jsonb(pack_runs(spare))}
    values["needless"] = needless
    if not _record_watchfully(database, _STATEMENTS[False, False], values):
        raise FencedError(session)


def _values(namespace: str, session: int, candidates: Sequence[Candidate]) -> dict[str, Any]:
    places = [one.place for one in candidates]
    return {
        "namespace": namespace,
        "session": session,
        "digests": [str(one.digest) for one in candidates],
        "sizes": [one.size for one in candidates],
        "checksums": [one.checksum for one in candidates],
        "keys": [place.key for place in places],
        "runs": [Jsonb(pack_runs(place.runs)) if place.runs else None for place in places],
        "inlines": [place.inline for place in places],
        "labels": [Jsonb(dict(one.labels.new)) for one in candidates],
        "needless": None,
    }


def _record_watchfully(database: Database, statement: str, values: dict[str, Any]) -> list[Any]:
    """Send a commit that may have happened before, and more since, or whose objects had a row.

    A key that the trash has seen must not come back: its object may be gone. So after the statement
    the trash is looked at again, and the transaction given up if it has a key, or if the row, which
    is locked by then, names what is to go to the trash.
    """

    def work(connection: Connection[Any]) -> list[Any]:
        if "token" in values and not connection.execute(_HOLDS, values).fetchone():
            if done := connection.execute(_DONE, values).fetchone():
                return [(values["digests"][0], None, done[0])]  # it has happened
            return []
        rows = connection.execute(statement, values).fetchall()
        watched = any(values["keys"]) or values["needless"]
        if watched and connection.execute(_THROWN, values).fetchone():
            connection.execute("ROLLBACK AND CHAIN")
            return []
        trash(connection, (), values["needless"] if rows else None)
        return rows

    return database.transact(work)


def trash(connection: Connection[Any], runs: Iterable[Run], key: str | None = None) -> None:
    """Put objects that no row needs any more into the trash, within a transaction."""
    packed = pack_runs(runs)
    if packed or key:
        connection.execute(_TRASH, {"key": key, "spare": Jsonb(packed)})
