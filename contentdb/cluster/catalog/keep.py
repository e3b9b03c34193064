"""What keeps content that a caller was told is stored: a lease's item, and a time in the queue.

A call that tells that content is stored locks its row in the transaction that makes it kept: a
collector that was first has removed it, one that comes later sees what keeps it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from contentdb.cluster.catalog.lease_items import CONTENT, hash_item
from contentdb.cluster.catalog.leases import IS_ALIVE
from contentdb.cluster.sql import NOW_NS
from contentdb.digest import Digest
from contentdb.errors import LeaseEndedError
from contentdb.expiry import GRACE_NS, SLACK_NS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contentdb.cluster.catalog.leases import LeaseKey
    from contentdb.cluster.sql import Database

__all__ = ["FRESH_NS", "IS_DUE", "LEASED", "LEASE_ITEMS", "REVIEWS", "keep", "lease_values"]

FRESH_NS: Final = GRACE_NS + SLACK_NS
"""A blob's time is set so far ahead."""
REVIEWS: Final = f"""
INSERT INTO queue AS q (namespace, digest, review_at)
SELECT %(namespace)s, digest, t.now + {FRESH_NS}
FROM {{source}}, (SELECT {NOW_NS} AS now) t ORDER BY digest
ON CONFLICT (namespace, digest) DO UPDATE SET review_at = excluded.review_at
WHERE q.review_at < excluded.review_at - {SLACK_NS // 2}"""  # noqa: S608 - constants
"""SQL that makes digests of a source fresh, unless they are fresh enough."""
IS_DUE: Final = f"""((SELECT since_ns FROM collection) IS NOT NULL
AND (q.review_at IS NULL OR q.review_at < {NOW_NS} + {FRESH_NS - SLACK_NS // 2}))"""  # noqa: S608 - constants
"""SQL for whether a blob with the row ``q`` of the queue must be made fresh at an answer.

Until the first collection no answer need be written down: that one begins the grace of all.
"""
LEASED: Final = f"""leased AS MATERIALIZED (
    SELECT l.token FROM leases l WHERE l.token = %(lease)s AND {IS_ALIVE} FOR SHARE OF l
)"""  # noqa: S608 - constants
LEASE_ITEMS: Final = """
INSERT INTO lease_items (lease, item_hash, namespace, kind, name)
SELECT leased.token, i.hash, %(namespace)s, 'content', digest
FROM {source} JOIN unnest(%(digests)s::text[], %(hashes)b::bytea[]) AS i(digest, hash)
    USING (digest), leased
ORDER BY digest ON CONFLICT DO NOTHING"""
_THERE: Final = """there AS MATERIALIZED (
    SELECT b.digest FROM {leased}blobs b WHERE b.namespace = %(namespace)s
    AND b.digest = ANY(%(digests)s::text[]) ORDER BY b.digest FOR KEY SHARE OF b
)"""
_FRESHEN: Final = f"""
WITH {_THERE.format(leased="")}, fresh AS ({REVIEWS.format(source="there")})
SELECT digest FROM there"""  # noqa: S608 - constants
_LEASE: Final = f"""
WITH {LEASED}, {_THERE.format(leased="leased, ")},
item AS ({LEASE_ITEMS.format(source="there")}),
fresh AS ({REVIEWS.format(source="there")})
SELECT there.digest FROM leased LEFT JOIN there ON true"""  # noqa: S608 - constants


def keep(
    database: Database, namespace: str, lease: LeaseKey | None, digests: Sequence[Digest]
) -> set[Digest]:
    """Let a grace begin for blobs that are there, and a lease have them; durable.

    Return those that are there; the others were deleted meanwhile.

    Raises:
        LeaseEndedError: The lease has ended.
    """
    values: dict[str, Any] = {"namespace": namespace, "digests": list(map(str, digests))}
    if lease is None:
        return {Digest(row[0]) for row in database.rows(_FRESHEN, values)}
    rows = database.rows(_LEASE, values | lease_values(lease, digests))
    if not rows:
        raise LeaseEndedError(lease.id)
    return {Digest(row[0]) for row in rows if row[0] is not None}


def lease_values(lease: LeaseKey, digests: Sequence[Digest]) -> dict[str, Any]:
    """Return the values by which a statement gives blobs to a lease."""
    hashes = [hash_item(CONTENT, str(digest)) for digest in digests]
    return {"lease": lease.token, "hashes": hashes}
