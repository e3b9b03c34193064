"""Rows that say which objects may go: the trash, the sessions that ended, and what is still named.

A row of the trash stays, as gone, while the session that wrote its object may come back with a
commit that was sent before: such a commit must find it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from contentdb.cluster.catalog.meta import read_epoch
from contentdb.cluster.extents import Run, unpack_runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contentdb.cluster.sql import Connection, Database
    from contentdb.cluster.upkeep.names import ObjectName

__all__ = [
    "Discarded",
    "due",
    "fence_dead",
    "find_named",
    "forget_gone",
    "forget_sessions",
    "mark_gone",
    "sessions",
    "set_epoch",
]

_DUE: Final = """
SELECT key, count FROM trash WHERE NOT gone AND key > %(after)s
AND since <= now() - make_interval(secs => %(age)s) ORDER BY key LIMIT 200"""
_GONE: Final = "UPDATE trash SET gone = true WHERE key = ANY(%(keys)s)"
_ALL_GONE: Final = "SELECT key FROM trash WHERE gone"
_FORGET: Final = "DELETE FROM trash WHERE gone AND key = ANY(%(keys)s)"
_SESSIONS: Final = "SELECT id, fenced FROM sessions ORDER BY id"
_TRY: Final = "SELECT pg_try_advisory_xact_lock(%(id)s)"
_FENCE: Final = "UPDATE sessions SET fenced = true WHERE id = %(id)s"
_FORGET_SESSIONS: Final = """
DELETE FROM sessions WHERE fenced AND id = ANY(%(ids)s)
AND started_at < now() - make_interval(secs => %(age)s)"""
_OBJECTS: Final = """
SELECT key FROM objects WHERE digest = ANY(%(digests)s) AND key = ANY(%(keys)s)
UNION ALL SELECT key FROM trash WHERE NOT gone AND key = ANY(%(keys)s)"""
_RUNS: Final = """
SELECT runs FROM objects WHERE runs @> %(wanted)s::jsonb
UNION ALL SELECT runs FROM ingests WHERE runs @> %(wanted)s::jsonb"""
_TRASHED: Final = """
SELECT key, count FROM trash WHERE NOT gone AND key >= %(prefix)s AND key < %(behind)s"""
_SET_EPOCH: Final = """
UPDATE meta SET system_id = %(system_id)s, timeline = %(timeline)s,
    database_oid = %(database_oid)s, meta_oid = %(meta_oid)s"""


class Discarded(NamedTuple):
    """One row of the trash: an object, or a run of them."""

    key: str
    length: int | None
    """Of a run; None for one object."""

    @property
    def keys(self) -> list[str]:
        """The keys of its objects."""
        if self.length is None:
            return [self.key]
        prefix, _, first = self.key.rpartition("/")
        return list(Run(f"{prefix}/", int(first), self.length, 1, 1).objects())


def due(database: Database, after: str, age_s: float) -> list[Discarded]:
    """Return a page of the objects that were put into the trash so long ago."""
    rows = database.rows(_DUE, {"after": after, "age": age_s})
    return [Discarded(*row) for row in rows]


def mark_gone(database: Database, some: Sequence[Discarded]) -> None:
    """Note that objects were deleted."""
    database.change(_GONE, {"keys": [one.key for one in some]})


def forget_gone(database: Database, ended: set[int], session_of: Any) -> None:  # noqa: ANN401 - a function
    """Remove the rows of objects that are gone and whose session has ended."""
    keys = [row[0] for row in database.rows(_ALL_GONE) if session_of(row[0]) in ended]
    if keys:
        database.change(_FORGET, {"keys": keys})


def fence_dead(database: Database, *, dry_run: bool) -> set[int]:
    """Return the sessions that can commit nothing any more.

    A session is dead if its lock can be taken. It is fenced in the same transaction: if its process
    lives after all, its next commit finds that, and writes its objects again.
    """
    ended = set()
    for id_, fenced in database.rows(_SESSIONS):
        if fenced or database.transact(lambda one, id_=id_: _fence(one, id_, dry_run=dry_run)):  # type: ignore[misc]
            ended.add(id_)
    return ended


def sessions(database: Database) -> set[int]:
    """Return all sessions that the database knows."""
    return {row[0] for row in database.rows(_SESSIONS)}


def _fence(connection: Connection[Any], id_: int, *, dry_run: bool) -> bool:
    found = connection.execute(_TRY, {"id": id_}).fetchone()
    if found is None or not found[0]:
        return False
    if not dry_run:
        connection.execute(_FENCE, {"id": id_})
    return True


def forget_sessions(database: Database, ids: set[int], age_s: float) -> None:
    """Remove the rows of sessions that have no objects left and began so long ago."""
    database.change(_FORGET_SESSIONS, {"ids": list(ids), "age": age_s})


def find_named(database: Database, names: Sequence[ObjectName]) -> set[str]:
    """Return those of some keys that a blob, an ingest or the trash names."""
    plain = [one for one in names if one.digest is not None]
    values = {"digests": [str(one.digest) for one in plain], "keys": [one.key for one in plain]}
    found = {row[0] for row in database.rows(_OBJECTS, values)} if plain else set()
    for prefix in {one.prefix for one in names if one.prefix is not None}:
        found |= _keys_of_run(database, prefix)
    return found


def _keys_of_run(database: Database, prefix: str) -> set[str]:
    import json

    found: set[str] = set()
    for (runs,) in database.rows(_RUNS, {"wanted": json.dumps([[prefix]])}):
        for run in unpack_runs(runs):
            if run.prefix == prefix:
                found.update(run.objects())
    for row in database.rows(_TRASHED, {"prefix": prefix, "behind": f"{prefix}~"}):
        found.update(Discarded(*row).keys)
    return found


def set_epoch(database: Database) -> None:
    """Note this life of the database as the one that knows all objects."""
    database.change(_SET_EPOCH, read_epoch(database)._asdict())
