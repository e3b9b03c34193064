"""The fixed statements: SQL of SQLite from 3.35 with named parameters, written once.

A test prepares each against a new index. `state` is 0 for a live blob, 1 for a tombstone, 2 for a
damaged one.
"""

from __future__ import annotations

from typing import Final

# -- blobs -------------------------------------------------------------------------------------

FIND_BLOB: Final = """
SELECT size, checksum, created_at, updated_at, state FROM blobs
WHERE namespace = :namespace AND digest = :digest
"""

ANY_BLOB: Final = "SELECT 1 FROM blobs LIMIT 1"

FIND_LABELS: Final = """
SELECT key, value FROM labels WHERE namespace = :namespace AND digest = :digest ORDER BY key
"""

INSERT_BLOB: Final = """
INSERT INTO blobs (namespace, digest, size, checksum, created_at, updated_at, state)
VALUES (:namespace, :digest, :size, :checksum, :now, :now, 0)
ON CONFLICT (namespace, digest) DO NOTHING
"""

OWN_BLOB: Final = """
UPDATE blobs SET
    created_at = CASE created_at WHEN :now - 1 THEN :now ELSE created_at END,
    updated_at = CASE WHEN updated_at < :now THEN :now ELSE updated_at + 1 END
WHERE namespace = :namespace AND digest = :digest AND state = 0
RETURNING updated_at
"""

# A tombstone is revived as a new blob; a damaged row is healed and stays as old as it was.
REVIVE_BLOB: Final = """
UPDATE blobs SET
    size = :size,
    checksum = :checksum,
    created_at = CASE state WHEN 1 THEN :now ELSE created_at END,
    updated_at = :now,
    state = 0
WHERE namespace = :namespace AND digest = :digest AND state <> 0
"""

TOUCH_BLOB: Final = """
UPDATE blobs SET updated_at = :now
WHERE namespace = :namespace AND digest = :digest AND state = 0
"""

MARK_DAMAGED: Final = """
UPDATE blobs SET state = 2 WHERE namespace = :namespace AND digest = :digest AND state = 0
"""

ENTOMB: Final = """
UPDATE blobs SET state = 1 WHERE namespace = :namespace AND digest = :digest AND state <> 1
"""

BURY: Final = """
DELETE FROM blobs WHERE namespace = :namespace AND digest = :digest AND state = 1
"""

DROP_BLOB: Final = """
DELETE FROM blobs WHERE namespace = :namespace AND digest = :digest
"""

# Namespaces are found by skipping from one to the next along the primary key.
_EVERY_NAMESPACE: Final = """
WITH RECURSIVE known (namespace) AS (
    SELECT min(namespace) FROM blobs
    UNION ALL
    SELECT (SELECT min(b.namespace) FROM blobs AS b WHERE b.namespace > known.namespace)
    FROM known WHERE known.namespace IS NOT NULL
)
"""

OTHER_NAMESPACE_HAS: Final = f"""
{_EVERY_NAMESPACE}
SELECT 1 FROM known JOIN blobs ON blobs.namespace = known.namespace AND blobs.digest = :digest
WHERE known.namespace <> :namespace AND blobs.state <> 1
LIMIT 1
"""  # noqa: S608 - our own text

OTHER_NAMESPACE_STATES: Final = f"""
{_EVERY_NAMESPACE}
SELECT blobs.state
FROM known JOIN blobs ON blobs.namespace = known.namespace AND blobs.digest = :digest
WHERE known.namespace <> :namespace
"""  # noqa: S608 - our own text

FIND_ELSEWHERE: Final = f"""
{_EVERY_NAMESPACE}
SELECT size, checksum, created_at, updated_at, state
FROM known JOIN blobs ON blobs.namespace = known.namespace AND blobs.digest = :digest
WHERE known.namespace <> :namespace AND blobs.state = 0
LIMIT 1
"""  # noqa: S608 - our own text

OTHER_NAMESPACE_LIVE: Final = f"""
{_EVERY_NAMESPACE}
SELECT updated_at FROM known
JOIN blobs ON blobs.namespace = known.namespace AND blobs.digest = :digest
WHERE known.namespace <> :namespace AND blobs.state = 0
LIMIT 1
"""  # noqa: S608 - our own text

# Some filesystems keep whole seconds: see `contentdb.local.file_times`.
VOUCHES: Final = f"""
{_EVERY_NAMESPACE}
SELECT 1 FROM known
JOIN blobs ON blobs.namespace = known.namespace AND blobs.digest = :digest
WHERE blobs.state = 0
AND :found IN (blobs.updated_at, blobs.updated_at - blobs.updated_at % 1000000000)
LIMIT 1
"""  # noqa: S608 - our own text

TOMBSTONES: Final = """
SELECT digest FROM blobs
WHERE namespace = :namespace AND state = 1 AND digest > :after
ORDER BY digest LIMIT :limit
"""

SHORTENED: Final = """
SELECT digest FROM blobs
WHERE namespace = :namespace AND digest >= :first AND digest < :behind AND state <> 1
ORDER BY digest LIMIT 2
"""

WALK: Final = """
SELECT digest, size, created_at, updated_at, NULL FROM blobs
WHERE namespace = :namespace AND digest > :after AND state = 0
ORDER BY digest LIMIT :limit
"""

WALK_LABELS: Final = """
SELECT digest, key, value FROM labels
WHERE namespace = :namespace AND digest BETWEEN :first AND :last
ORDER BY digest, key
"""

ROWS_BETWEEN: Final = """
SELECT digest, size, checksum, state FROM blobs
WHERE namespace = :namespace AND digest >= :first AND digest < :behind
ORDER BY digest
"""


def labels_of(count: int) -> str:
    """Return the query for the labels of this many blobs; its values are namespace and digests."""
    return f"""
SELECT digest, key, value FROM labels WHERE namespace = ? AND digest IN ({_places(count)})
"""  # noqa: S608 - marks alone


# -- labels ------------------------------------------------------------------------------------

SET_LABEL: Final = """
INSERT INTO labels (namespace, digest, key, value) VALUES (:namespace, :digest, :key, :value)
ON CONFLICT (namespace, digest, key) DO UPDATE SET value = excluded.value
"""

DROP_LABEL: Final = """
DELETE FROM labels WHERE namespace = :namespace AND digest = :digest AND key = :key
"""

DROP_LABELS: Final = """
DELETE FROM labels WHERE namespace = :namespace AND digest = :digest
"""

# -- ingests -----------------------------------------------------------------------------------

FIND_INGEST: Final = """
SELECT ref, name, token, total, expected, "offset", started_at, updated_at, holder, held_since,
       metadata
FROM ingests WHERE namespace = :namespace AND ref = :ref
"""

INGESTS: Final = """
SELECT ref, name, token, total, expected, "offset", started_at, updated_at, holder, held_since,
       metadata
FROM ingests WHERE namespace = :namespace AND ref > :after
ORDER BY ref LIMIT :limit
"""

BEGIN_INGEST: Final = """
INSERT INTO ingests (namespace, ref, name, token, total, expected, "offset",
                     started_at, updated_at, holder, held_since, metadata)
VALUES (:namespace, :ref, :name, :token, :total, :expected, :offset,
        :started, :updated, :holder, :now, :metadata)
ON CONFLICT (namespace, ref) DO UPDATE SET
    token = excluded.token, total = excluded.total, expected = excluded.expected,
    started_at = excluded.started_at, updated_at = excluded.updated_at,
    holder = excluded.holder, held_since = excluded.held_since, metadata = excluded.metadata
"""

INGEST_OF_NAME: Final = """
SELECT namespace, ref FROM ingests WHERE name = :name
"""

HOLDS: Final = """
SELECT 1 FROM ingests WHERE namespace = :namespace AND ref = :ref AND token = :token
"""

PAUSE_INGEST: Final = """
UPDATE ingests SET "offset" = :offset, updated_at = :now
WHERE namespace = :namespace AND ref = :ref AND token = :token
"""

END_INGEST: Final = """
DELETE FROM ingests WHERE namespace = :namespace AND ref = :ref AND token = :token
"""

EXPECTED_BY_INGEST: Final = """
SELECT 1 FROM ingests WHERE expected = :digest LIMIT 1
"""


def ingests_named(count: int) -> str:
    """Return the query for those of this many names that are an ingest's file, in any namespace."""
    return f"""
SELECT name FROM ingests WHERE name IN ({_places(count)})
"""  # noqa: S608 - marks alone


# -- the whole ---------------------------------------------------------------------------------

USAGE: Final = """
SELECT b.blobs, b.bytes, i.ingests, i.bytes
FROM (SELECT count(*) AS blobs, coalesce(sum(size), 0) AS bytes
      FROM blobs WHERE namespace = :namespace AND state = 0) AS b,
     (SELECT count(*) AS ingests, coalesce(sum("offset"), 0) AS bytes
      FROM ingests WHERE namespace = :namespace) AS i
"""

REVISION: Final = "SELECT version_num FROM alembic_version"


def _places(count: int) -> str:
    return ", ".join("?" * count)
