"""The queue: when a collector looks at a blob. It is written with what changes what keeps blobs.

A call that takes a reference away lets a collector look at what it led to, in the same
transaction: that alone lets a collector find it. The time always changes: a collector that has seen
the old one does not take the row out of the queue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from contentdb.cluster.sql import NOW_NS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from contentdb.cluster.sql import Connection

__all__ = ["enqueue", "enqueue_back_referring", "forget"]

_QUEUE: Final = f"""
INSERT INTO queue AS q (namespace, digest, review_at)
SELECT b.namespace, b.digest, t.now FROM blobs b, (SELECT {NOW_NS} AS now) t
WHERE b.namespace = %(namespace)s AND b.digest = ANY(%(digests)s::text[]) ORDER BY b.digest
ON CONFLICT (namespace, digest) DO UPDATE
SET review_at = greatest(excluded.review_at, q.review_at + 1)"""  # noqa: S608 - a constant
_BACK_REFERRING: Final = """
SELECT b.digest FROM unnest(%(digests)s::text[]) AS c(digest), blobs b
WHERE contentdb_links(b.namespace, b.labels)
    @> ARRAY['b' || %(namespace)s || chr(10) || c.digest]"""
_FORGET: Final = """
DELETE FROM queue WHERE namespace = %(namespace)s AND digest = ANY(%(digests)s::text[])"""


def enqueue(connection: Connection[Any], namespace: str, digests: Iterable[str]) -> None:
    """Let the next collection look at these blobs, within a transaction."""
    some = sorted(set(digests))
    if some:
        connection.execute(_QUEUE, {"namespace": namespace, "digests": some})


def enqueue_back_referring(
    connection: Connection[Any], namespace: str, digests: Sequence[str]
) -> None:
    """Let a collector look at the blobs to which some that go refer by labels of the former."""
    values = {"namespace": namespace, "digests": list(digests)}
    found = connection.execute(_BACK_REFERRING, values).fetchall()
    enqueue(connection, namespace, [row[0] for row in found])


def forget(connection: Connection[Any], namespace: str, digests: Iterable[str]) -> None:
    """Take blobs that go out of the queue, within their transaction."""
    connection.execute(_FORGET, {"namespace": namespace, "digests": sorted(digests)})
