"""Rows of blobs: look up, label, remove, count."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from contentdb.cluster.catalog.keep import IS_DUE
from contentdb.cluster.catalog.queue import enqueue, enqueue_back_referring, forget
from contentdb.cluster.catalog.record import LOST_KEYS
from contentdb.cluster.extents import Place, unpack_runs
from contentdb.cluster.sql import NOW_NS, Jsonb
from contentdb.content import Info, Usage
from contentdb.digest import Digest
from contentdb.labels import check_total_labels
from contentdb.references import lost

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from contentdb.cluster.sql import Connection, Database

__all__ = [
    "LOCK",
    "Stored",
    "StoredObject",
    "clear_damaged",
    "find",
    "find_many",
    "find_object",
    "mark_damaged",
    "prefixed",
    "relabel",
    "remove",
    "take_out",
    "usage",
]

_FIND: Final = f"""
SELECT b.digest, b.size, b.created_ns, b.updated_ns, b.labels, {IS_DUE}, o.damaged, o.key, o.runs
FROM blobs b JOIN objects o USING (digest) LEFT JOIN queue q USING (namespace, digest)
WHERE b.namespace = %(namespace)s AND b.digest = ANY(%(digests)s)"""  # noqa: S608 - a constant
_READ: Final = f"""
SELECT b.digest, b.size, b.created_ns, b.updated_ns, b.labels, {IS_DUE}, o.damaged, o.key, o.runs,
    o.inline
FROM blobs b JOIN objects o USING (digest) LEFT JOIN queue q USING (namespace, digest)
WHERE b.namespace = %(namespace)s AND b.digest = %(digest)s"""  # noqa: S608 - a constant
_OBJECT: Final = """
SELECT size, damaged, key, runs, inline FROM objects WHERE digest = %(digest)s"""
_PREFIXED: Final = """
SELECT digest FROM blobs WHERE namespace = %(namespace)s
AND digest >= %(first)s AND digest < %(behind)s ORDER BY digest LIMIT 2"""
_DAMAGED: Final = """
UPDATE objects SET damaged = true WHERE digest = %(digest)s AND NOT damaged
AND key IS NOT DISTINCT FROM %(key)s"""
_UNDAMAGED: Final = """
UPDATE objects SET damaged = false WHERE digest = %(digest)s AND damaged
AND key IS NOT DISTINCT FROM %(key)s"""
_LABELS: Final = """
SELECT labels FROM blobs WHERE namespace = %(namespace)s AND digest = %(digest)s FOR UPDATE"""
_RELABEL: Final = f"""
UPDATE blobs SET labels = %(labels)s, updated_ns = greatest({NOW_NS}, updated_ns + 1)
WHERE namespace = %(namespace)s AND digest = %(digest)s"""  # noqa: S608 - a constant
LOCK: Final = (
    "SELECT digest FROM objects WHERE digest = ANY(%(digests)s) ORDER BY digest FOR UPDATE"
)
_THERE: Final = """
SELECT digest FROM blobs WHERE namespace = %(namespace)s AND digest = ANY(%(digests)s)"""
_REMOVE: Final = """
DELETE FROM blobs WHERE namespace = %(namespace)s AND digest = ANY(%(digests)s)
RETURNING digest, labels"""
_DISCARD: Final = f"""
WITH lost AS (
    DELETE FROM objects o WHERE digest = ANY(%(digests)s)
    AND NOT EXISTS (SELECT 1 FROM blobs b WHERE b.digest = o.digest) RETURNING key, runs
)
INSERT INTO trash (key, count) SELECT key, count FROM ({LOST_KEYS}) AS k ORDER BY key
ON CONFLICT DO NOTHING"""  # noqa: S608 - a constant
_USAGE: Final = """
SELECT b.count, b.bytes, i.count, i.bytes FROM
(SELECT count(*), coalesce(sum(size), 0)::bigint AS bytes FROM blobs
 WHERE namespace = %(namespace)s) b,
(SELECT count(*), coalesce(sum("offset"), 0)::bigint AS bytes FROM ingests
 WHERE namespace = %(namespace)s) i"""


class Stored(NamedTuple):
    """What the rows say of a blob."""

    info: Info
    damaged: bool
    place: Place
    """Without the bytes of one that is in its row, unless it was looked up to be read."""
    is_due: bool
    """Whether its grace must be written down before a caller is told that it is stored."""


class StoredObject(NamedTuple):
    """Where the bytes of a content are, for all namespaces."""

    size: int
    damaged: bool
    place: Place


def _stored(row: tuple[Any, ...], inline: bytes | None = None) -> Stored:
    digest, size, created_ns, updated_ns, labels, is_due, damaged, key, runs = row
    info = Info(Digest(digest), size, created_ns, updated_ns, labels)
    return Stored(info, damaged, _place(key, runs, inline), is_due)


def _place(key: str | None, runs: list[list[Any]] | None, inline: bytes | None) -> Place:
    return Place(inline=inline or b"") if key is None else Place(key, unpack_runs(runs))


def find(database: Database, namespace: str, digest: Digest) -> Stored | None:
    """Return what the rows say of a blob, with the bytes of one that is in its row."""
    found = database.rows(_READ, {"namespace": namespace, "digest": str(digest)})
    return _stored(found[0][:9], found[0][9]) if found else None


def find_many(database: Database, namespace: str, digests: list[Digest]) -> dict[Digest, Stored]:
    """Return what the rows say of blobs, by digest; those without a row are left out."""
    values = {"namespace": namespace, "digests": list(map(str, digests))}
    found = map(_stored, database.rows(_FIND, values))
    return {one.info.digest: one for one in found}


def find_object(database: Database, digest: Digest) -> StoredObject | None:
    """Return where the bytes of a content are, with those that are in its row."""
    found = database.rows(_OBJECT, {"digest": str(digest)})
    if not found:
        return None
    size, damaged, *where = found[0]
    return StoredObject(size, damaged, _place(*where))


def prefixed(database: Database, namespace: str, beginning: str) -> list[Digest]:
    """Return at most two digests of blobs with this beginning."""
    values = {"namespace": namespace, "first": beginning, "behind": f"{beginning}~"}
    return [Digest(row[0]) for row in database.rows(_PREFIXED, values)]


def mark_damaged(database: Database, digest: Digest, place: Place) -> bool:
    """Note that the bytes are not what they should be; False if the row has others by now."""
    return bool(database.change(_DAMAGED, {"digest": str(digest), "key": place.key}))


def clear_damaged(database: Database, digest: Digest, place: Place) -> bool:
    """Note that the bytes are what they should be; False if the row has others by now."""
    return bool(database.change(_UNDAMAGED, {"digest": str(digest), "key": place.key}))


def relabel(
    database: Database,
    namespace: str,
    digest: Digest,
    change: Callable[[dict[str, str]], Mapping[str, str] | None],
) -> bool:
    """Set a blob's labels to what ``change`` makes of them; None leaves the row as it is.

    Return False if there is no such row. Durable on return.
    """
    values: dict[str, Any] = {"namespace": namespace, "digest": str(digest)}

    def work(connection: Connection[Any]) -> bool:
        row = connection.execute(_LABELS, values).fetchone()
        if row is None:
            return False
        labels = change(row[0])
        if labels is not None:
            check_total_labels(labels, row[0])
            connection.execute(_RELABEL, values | {"labels": Jsonb(dict(labels))})
            gone = [(key, value) for key, value in row[0].items() if labels.get(key) != value]
            enqueue(connection, namespace, lost(str(digest), gone))
        return True

    return database.transact(work)


def remove(
    database: Database, namespace: str, digests: list[Digest], *, missing_ok: bool
) -> tuple[int, Digest | None]:
    """Remove blobs, in order up to the first absent one; durable on return.

    The keys of content that no namespace has any more go to the trash.

    Returns:
        How many blobs were removed, and the absent one that ended it.
    """
    ordered = list(dict.fromkeys(digests))

    def work(connection: Connection[Any]) -> tuple[int, Digest | None]:
        values: dict[str, Any] = {"namespace": namespace, "digests": list(map(str, ordered))}
        connection.execute(LOCK, values)  # objects first, as a commit locks them
        there = {row[0] for row in connection.execute(_THERE, values)}
        absent: Digest | None = None
        chosen: list[str] = []
        seen: set[str] = set()
        for digest in digests:
            if digest in there and digest not in seen:
                chosen.append(str(digest))
                seen.add(digest)
            elif not missing_ok:
                absent = digest
                break
        take_out(connection, namespace, chosen)
        return len(chosen), absent

    return database.transact(work, repeatable=False)


def take_out(connection: Connection[Any], namespace: str, digests: list[str]) -> None:
    """Remove blobs whose objects are locked, within a transaction, and queue what they kept."""
    values = {"namespace": namespace, "digests": digests}
    enqueue_back_referring(connection, namespace, digests)
    rows = connection.execute(_REMOVE, values).fetchall()
    connection.execute(_DISCARD, values)
    enqueue(connection, namespace, {
        one for digest, labels in rows for one in lost(digest, labels.items())
    })  # fmt: skip
    forget(connection, namespace, digests)


def usage(database: Database, namespace: str) -> Usage:
    """Count blobs, ingests and their bytes."""
    return Usage(*database.rows(_USAGE, {"namespace": namespace})[0])
