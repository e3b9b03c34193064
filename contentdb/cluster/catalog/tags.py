"""Rows of tags: names for digests. Each change is one transaction."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from contentdb.cluster.catalog.queue import enqueue
from contentdb.cluster.sql import NOW_NS, Jsonb
from contentdb.content import ANY, Tag
from contentdb.digest import Digest
from contentdb.engine import check_condition
from contentdb.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentdb.cluster.sql import Connection, Database
    from contentdb.content import Anything
    from contentdb.engine import TagChange

__all__ = ["drop_tag", "find_tag", "set_tag", "tags"]

_COLUMNS: Final = "name, digest, media_type, size, created_ns, updated_ns, labels"
_KEY: Final = "namespace = %(namespace)s AND name_hash = %(name_hash)s"
_FIND: Final = f"SELECT {_COLUMNS} FROM tags WHERE {_KEY}"  # noqa: S608 - constants
_BLOB: Final = """
SELECT size FROM blobs b JOIN objects o USING (digest, size)
WHERE b.namespace = %(namespace)s AND b.digest = %(digest)s AND NOT o.damaged FOR KEY SHARE OF b"""
_RESERVE: Final = (
    "SELECT pg_advisory_xact_lock(hashtextextended(%(namespace)s || chr(10) || %(name)s, 0))"
)
_SET: Final = f"""
INSERT INTO tags (namespace, name_hash, name, digest, media_type, size, labels,
    created_ns, updated_ns)
SELECT %(namespace)s, %(name_hash)s, %(name)s, %(digest)s, %(media_type)s, %(size)s, %(labels)s,
    t.now, t.now FROM (SELECT {NOW_NS} AS now) t
ON CONFLICT (namespace, name_hash) DO UPDATE SET digest = excluded.digest,
    media_type = excluded.media_type, size = excluded.size, labels = excluded.labels,
    updated_ns = excluded.updated_ns
RETURNING {_COLUMNS}"""  # noqa: S608 - constants
_DROP: Final = f"DELETE FROM tags WHERE {_KEY}"  # noqa: S608 - constants
_PAGE: Final = f"""
SELECT {_COLUMNS} FROM tags WHERE namespace = %(namespace)s
AND left(name, 500) >= left(%(after)s, 500) AND name > %(after)s
AND (%(of)s::text IS NULL OR digest = %(of)s)
ORDER BY left(name, 500), name LIMIT 250"""  # noqa: S608 - constants


def _values(namespace: str, name: str) -> dict[str, Any]:
    hashed = hashlib.sha256(name.encode()).digest()
    return {"namespace": namespace, "name": name, "name_hash": hashed}


def _tag(row: tuple[Any, ...]) -> Tag:
    name, digest, media_type, size, created_ns, updated_ns, labels = row
    return Tag(name, Digest(digest), media_type, size, created_ns, updated_ns, labels)


def set_tag(database: Database, namespace: str, change: TagChange) -> Tag:
    """Let a name stand for a live blob; durable.

    Raises:
        NotFoundError: There is no such blob.
        ConflictError: The name stands for another digest than the condition says, or for none.
    """
    values = _values(namespace, change.name) | {"digest": str(change.digest)}

    def work(connection: Connection[Any]) -> Tag:
        connection.execute(_RESERVE, values)  # a name that is not there yet has no row to lock
        blob = connection.execute(_BLOB, values).fetchone()
        if blob is None:
            raise NotFoundError(digest=change.digest)
        old = _find(connection, values)
        check_condition(change.name, old, change.if_is)
        new = {
            "media_type": change.media_type_after(old),
            "size": blob[0],
            "labels": Jsonb(dict(change.labels_after(old))),
        }
        made = connection.execute(_SET, values | new).fetchone()
        assert made is not None  # noqa: S101 - it returns its row
        if old is not None and old.digest != change.digest:
            enqueue(connection, namespace, [old.digest])
        return _tag(made)

    return database.transact(work, repeatable=change.if_is is ANY)


def _find(connection: Connection[Any], values: dict[str, Any]) -> Tag | None:
    row = connection.execute(f"{_FIND} FOR UPDATE", values).fetchone()
    return None if row is None else _tag(row)


def drop_tag(database: Database, namespace: str, name: str, if_is: Digest | Anything) -> None:
    """Remove a name; durable. The blob stays.

    Raises:
        NotFoundError: There is no such tag.
        ConflictError: It stands for another digest than the condition says.
    """
    values = _values(namespace, name)

    def work(connection: Connection[Any]) -> None:
        old = _find(connection, values)
        if old is None:
            raise NotFoundError(tag=name)
        check_condition(name, old, if_is)
        connection.execute(_DROP, values)
        enqueue(connection, namespace, [old.digest])

    database.transact(work, repeatable=False)


def find_tag(database: Database, namespace: str, name: str) -> Tag | None:
    """Return the tag of a name."""
    rows = database.rows(_FIND, _values(namespace, name))
    return _tag(rows[0]) if rows else None


def tags(database: Database, namespace: str, of: Digest | None) -> Iterator[list[Tag]]:
    """Yield pages of the tags, or those of one digest, by name; each page as it is then."""
    values = {"namespace": namespace, "after": "", "of": None if of is None else str(of)}
    while page := [_tag(row) for row in database.rows(_PAGE, values)]:
        yield page
        values["after"] = page[-1].name
