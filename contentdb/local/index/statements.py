"""The fixed statements: SQL of SQLite from 3.35 with named parameters, written once.

A test prepares each against a new index. `state` is 0 for a live blob, 1 for a tombstone, 2 for a
damaged one.
"""

# Long: it is one list, which tests prepare and explain.

from __future__ import annotations

from contentdb.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Final

# -- blobs -------------------------------------------------------------------------------------

FIND_BLOB: Final = """
SELECT size, checksum, created_at, updated_at, state, pack, "offset", review_at FROM blobs
WHERE namespace = :namespace AND digest = :digest
"""

ANY_BLOB: Final = "SELECT 1 FROM blobs LIMIT 1"

FIND_LABELS: Final = """
SELECT key, value FROM labels WHERE namespace = :namespace AND digest = :digest ORDER BY key
"""

INSERT_BLOB: Final = """
INSERT INTO blobs
    (namespace, digest, size, checksum, created_at, updated_at, state, pack, "offset", review_at)
VALUES (:namespace, :digest, :size, :checksum, :now, :now, 0, :pack, :offset, :review)
ON CONFLICT (namespace, digest) DO NOTHING
"""

OWN_BLOB: Final = """
UPDATE blobs SET
    created_at = CASE created_at WHEN :now - 1 THEN :now ELSE created_at END,
    updated_at = CASE WHEN updated_at < :now THEN :now ELSE updated_at + 1 END,
    review_at = :review
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
    state = 0,
    pack = :pack,
    "offset" = :offset,
    review_at = coalesce(:review, review_at)
WHERE namespace = :namespace AND digest = :digest AND state <> 0
"""

TOUCH_BLOB: Final = """
UPDATE blobs SET updated_at = :now
WHERE namespace = :namespace AND digest = :digest AND state = 0
"""

MARK_DAMAGED: Final = """
UPDATE blobs SET state = 2
WHERE namespace = :namespace AND digest = :digest AND state = 0 AND pack IS NULL
"""

ENTOMB: Final = """
UPDATE blobs SET state = 1, review_at = NULL
WHERE namespace = :namespace AND digest = :digest AND state <> 1
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
SELECT size, checksum, created_at, updated_at, state, pack, "offset", review_at
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
SELECT digest, size, checksum, state, pack, "offset" FROM blobs
WHERE namespace = :namespace AND digest >= :first AND digest < :behind
ORDER BY digest
"""


def which_have_rows(count: int) -> str:
    """Return the query for those of this many digests with a row, given after the namespace."""
    return f"""
SELECT digest FROM blobs WHERE namespace = ? AND digest IN ({_places(count)})
"""  # noqa: S608 - marks alone


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

TAKE_LABELS: Final = """
DELETE FROM labels WHERE namespace = :namespace AND digest = :digest RETURNING key, value
"""

# -- what a collector goes by ------------------------------------------------------------------

MEET: Final = """
UPDATE blobs SET review_at = :review
WHERE namespace = :namespace AND digest = :digest AND state = 0
AND (review_at IS NULL OR review_at < :below)
"""

QUEUE: Final = """
UPDATE blobs SET review_at = max(:now, coalesce(review_at + 1, 0))
WHERE namespace = :namespace AND digest = :digest AND state <> 1
"""

BACK_REFERRING: Final = """
SELECT digest FROM labels INDEXED BY ix_labels_back_references
WHERE namespace = :namespace AND value = :digest
AND key >= 'containerd.io/gc.bref.content' AND key < 'containerd.io/gc.bref.contenu'
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


# -- packs -------------------------------------------------------------------------------------

RECORDED: Final = "SELECT recorded FROM packs WHERE pack = :pack"

SET_RECORDED: Final = """
INSERT INTO packs (pack, recorded) VALUES (:pack, :recorded)
ON CONFLICT (pack) DO UPDATE SET recorded = max(recorded, excluded.recorded)
"""

FORGET_PACK: Final = "DELETE FROM packs WHERE pack = :pack"

PACKS: Final = """
SELECT DISTINCT pack FROM blobs WHERE pack IS NOT NULL
"""

IN_PACK: Final = """
SELECT DISTINCT "offset", digest, size, state FROM blobs WHERE pack = :pack ORDER BY "offset"
"""

IN_PLACE: Final = f"""
{_EVERY_NAMESPACE}
SELECT 1 FROM known JOIN blobs ON blobs.namespace = known.namespace AND blobs.digest = :digest
WHERE blobs.pack = :pack AND blobs."offset" = :offset AND (blobs.state <> 1 OR :tombstones)
LIMIT 1
"""  # noqa: S608 - our own text

# Whether rows that are no tombstones point to a record, and whether other namespaces have its blob.
WHO_NEEDS: Final = f"""
{_EVERY_NAMESPACE}
SELECT max(blobs.pack IS :pack AND blobs."offset" IS :offset AND blobs.state <> 1),
       max(blobs.namespace <> :namespace AND blobs.state = 0)
FROM known JOIN blobs ON blobs.namespace = known.namespace AND blobs.digest = :digest
"""  # noqa: S608 - our own text

PLACES: Final = f"""
{_EVERY_NAMESPACE}
SELECT DISTINCT blobs.pack, blobs."offset"
FROM known JOIN blobs ON blobs.namespace = known.namespace AND blobs.digest = :digest
WHERE blobs.state = 0 AND blobs.pack IS NOT NULL
"""  # noqa: S608 - our own text

# From a record, or from a file if :pack and :offset are NULL.
MOVE_BLOB: Final = f"""
{_EVERY_NAMESPACE}
UPDATE blobs SET pack = :new_pack, "offset" = :new_offset
WHERE namespace IN (SELECT namespace FROM known WHERE namespace IS NOT NULL)
AND digest = :digest AND pack IS :pack AND "offset" IS :offset AND state = 0
"""  # noqa: S608 - our own text

LOSE_RECORD: Final = """
UPDATE blobs SET pack = NULL, "offset" = NULL, state = :state
WHERE namespace = :namespace AND digest = :digest AND pack = :pack AND "offset" = :offset
AND state = 0
"""

LOOSE_BELOW: Final = """
SELECT digest, size, checksum, created_at FROM blobs
WHERE namespace = :namespace AND digest > :after AND pack IS NULL AND state = 0 AND size < :below
ORDER BY digest LIMIT :limit
"""

PACKED: Final = """
SELECT digest FROM blobs
WHERE namespace = :namespace AND digest > :after AND pack IS NOT NULL AND state = 0
ORDER BY digest LIMIT :limit
"""

# -- tags --------------------------------------------------------------------------------------

FIND_TAG: Final = """
SELECT name, digest, media_type, size, created_at, updated_at FROM tags
WHERE namespace = :namespace AND name = :name
"""

TAGS: Final = """
SELECT name, digest, media_type, size, created_at, updated_at FROM tags
WHERE namespace = :namespace AND name > :after
ORDER BY name LIMIT :limit
"""

TAGS_OF: Final = """
SELECT name, digest, media_type, size, created_at, updated_at FROM tags
WHERE namespace = :namespace AND digest = :digest AND name > :after
ORDER BY name LIMIT :limit
"""

SET_TAG: Final = """
INSERT INTO tags (namespace, name, digest, media_type, size, created_at, updated_at)
VALUES (:namespace, :name, :digest, :media_type, :size, :now, :now)
ON CONFLICT (namespace, name) DO UPDATE SET
    digest = excluded.digest, media_type = excluded.media_type, size = excluded.size,
    updated_at = max(updated_at + 1, excluded.updated_at)
"""

DROP_TAG: Final = "DELETE FROM tags WHERE namespace = :namespace AND name = :name"

FIND_TAG_LABELS: Final = """
SELECT key, value FROM tag_labels WHERE namespace = :namespace AND name = :name ORDER BY key
"""

SET_TAG_LABEL: Final = """
INSERT INTO tag_labels (namespace, name, key, value) VALUES (:namespace, :name, :key, :value)
"""

DROP_TAG_LABELS: Final = "DELETE FROM tag_labels WHERE namespace = :namespace AND name = :name"

# -- namespaces --------------------------------------------------------------------------------

# Those that a client made have a row of settings, named "namespace:" and their name.
NEXT_NAMESPACE: Final = """
SELECT min(name) FROM (
    SELECT min(namespace) AS name FROM blobs WHERE namespace > :after
    UNION ALL SELECT min(namespace) FROM ingests WHERE namespace > :after
    UNION ALL SELECT min(namespace) FROM tags WHERE namespace > :after
    UNION ALL SELECT min(namespace) FROM leases WHERE namespace > :after
    UNION ALL SELECT substr(min(name), 11) FROM settings
              WHERE name > 'namespace:' || :after AND name < 'namespace;'
)
"""

NAMESPACE_CONTENT: Final = """
SELECT EXISTS (SELECT 1 FROM blobs WHERE namespace = :namespace AND digest > ''),
       EXISTS (SELECT 1 FROM ingests WHERE namespace = :namespace AND ref > ''),
       EXISTS (SELECT 1 FROM tags WHERE namespace = :namespace AND name > ''),
       EXISTS (SELECT 1 FROM leases WHERE namespace = :namespace AND id > '')
"""

FIND_SETTING: Final = "SELECT value FROM settings WHERE name = :name"

SET_SETTING: Final = "INSERT OR REPLACE INTO settings (name, value) VALUES (:name, :value)"

DROP_SETTING: Final = "DELETE FROM settings WHERE name = :name"

# -- collection ----------------------------------------------------------------------------------

IS_THERE: Final = """
SELECT 1 FROM blobs WHERE namespace = :namespace AND digest = :digest AND state <> 1
"""

# Without its index SQLite takes the one by key, and reads all labels that are references.
REFERRING: Final = """
SELECT digest, key FROM labels INDEXED BY ix_labels_references
WHERE namespace = :namespace AND value = :digest
AND key >= 'containerd.io/gc.ref.content' AND key < 'containerd.io/gc.ref.contenu'
"""

BACK_REFERENCES: Final = """
SELECT value, key FROM labels WHERE namespace = :namespace AND digest = :digest
AND key >= 'containerd.io/gc.bref.content' AND key < 'containerd.io/gc.bref.contenu'
"""

CHILDREN: Final = """
SELECT value FROM labels WHERE namespace = :namespace AND digest = :digest
AND key >= 'containerd.io/gc.ref.content' AND key < 'containerd.io/gc.ref.contenu'
UNION ALL
SELECT digest FROM labels INDEXED BY ix_labels_back_references
WHERE namespace = :namespace AND value = :digest
AND key >= 'containerd.io/gc.bref.content' AND key < 'containerd.io/gc.bref.contenu'
"""

# What keeps a blob by itself; the item of a flat lease, only if the walk begins there.
ROOTS: Final = """
SELECT b.created_at, b.review_at,
    (SELECT t.name FROM tags AS t WHERE t.namespace = b.namespace AND t.digest = b.digest LIMIT 1),
    EXISTS (SELECT 1 FROM labels AS k WHERE k.namespace = b.namespace AND k.digest = b.digest
            AND k.key = 'containerd.io/gc.root' AND k.value <> ''),
    (SELECT l.id FROM lease_items AS i
     JOIN leases AS l ON l.namespace = i.namespace AND l.id = i.id
     WHERE i.namespace = b.namespace AND i.kind = 'content' AND i.item = b.digest
     AND (l.expires_at IS NULL OR l.expires_at > :now) AND (l.flat = 0 OR :depth = 0) LIMIT 1),
    (SELECT g.ref FROM ingests AS g WHERE g.expected = b.digest AND g.namespace = b.namespace
     LIMIT 1),
    (SELECT e.value FROM labels AS e WHERE e.namespace = b.namespace AND e.digest = b.digest
     AND e.key = 'containerd.io/gc.expire')
FROM blobs AS b WHERE b.namespace = :namespace AND b.digest = :digest AND b.state <> 1
"""

ANY_TAG: Final = "SELECT 1 FROM tags WHERE namespace = :namespace AND name > '' LIMIT 1"

ANY_LEASE: Final = """
SELECT 1 FROM leases WHERE namespace = :namespace AND id > ''
AND (expires_at IS NULL OR expires_at > :now) LIMIT 1
"""

ANY_ROOT_LABEL: Final = """
SELECT 1 FROM labels WHERE namespace = :namespace AND key = 'containerd.io/gc.root' AND value > ''
LIMIT 1
"""

DUE: Final = """
SELECT digest, review_at, size FROM blobs INDEXED BY ix_blobs_review
WHERE namespace = :namespace AND review_at IS NOT NULL AND review_at <= :horizon
AND (review_at, digest) > (:at, :after) AND state <> 1
ORDER BY review_at, digest LIMIT :limit
"""

EVERY: Final = """
SELECT digest, review_at, size FROM blobs
WHERE namespace = :namespace AND digest > :after AND state <> 1
ORDER BY digest LIMIT :limit
"""

COUNT_QUEUE: Final = """
SELECT count(*), coalesce(sum(review_at <= :horizon), 0),
    min(CASE WHEN review_at <= :horizon THEN review_at END)
FROM blobs INDEXED BY ix_blobs_review WHERE namespace = :namespace AND review_at IS NOT NULL
"""

SET_REVIEW: Final = """
UPDATE blobs SET review_at = :later
WHERE namespace = :namespace AND digest = :digest AND review_at IS :seen AND state <> 1
"""

SOME_LABELS: Final = """
SELECT key, value FROM labels WHERE namespace = :namespace AND digest = :digest LIMIT :limit
"""

# -- leases ------------------------------------------------------------------------------------

FIND_LEASE: Final = """
SELECT id, created_at, expires_at, flat, file, holder FROM leases
WHERE namespace = :namespace AND id = :id
"""

LEASES: Final = """
SELECT id, created_at, expires_at, flat, file, holder FROM leases
WHERE namespace = :namespace AND id > :after
ORDER BY id LIMIT :limit
"""

BEGIN_LEASE: Final = """
INSERT INTO leases (namespace, id, created_at, expires_at, flat, file, holder)
VALUES (:namespace, :id, :created, :expires, :flat, :file, :holder)
ON CONFLICT (namespace, id) DO NOTHING
"""

LEASE_LIVES: Final = """
SELECT 1 FROM leases
WHERE namespace = :namespace AND id = :id AND created_at = :created
AND (expires_at IS NULL OR expires_at > :now)
"""

EXPIRE_LEASE: Final = """
UPDATE leases SET expires_at = 0
WHERE namespace = :namespace AND id = :id AND created_at = :created
"""

DROP_LEASE: Final = """
DELETE FROM leases WHERE namespace = :namespace AND id = :id AND created_at = :created
AND NOT EXISTS (
    SELECT 1 FROM lease_items AS i WHERE i.namespace = :namespace AND i.id = :id
)
"""

FIND_LEASE_LABELS: Final = """
SELECT key, value FROM lease_labels WHERE namespace = :namespace AND id = :id ORDER BY key
"""

SET_LEASE_LABEL: Final = """
INSERT INTO lease_labels (namespace, id, key, value) VALUES (:namespace, :id, :key, :value)
"""

LEASE_ITEMS: Final = """
SELECT kind, item FROM lease_items
WHERE namespace = :namespace AND id = :id AND (kind, item) > (:kind, :after)
ORDER BY kind, item LIMIT :limit
"""

ADD_LEASE_ITEM: Final = """
INSERT OR IGNORE INTO lease_items (namespace, id, kind, item)
VALUES (:namespace, :id, :kind, :item)
"""

HAS_LEASE_ITEM: Final = """
SELECT 1 FROM lease_items
WHERE namespace = :namespace AND id = :id AND kind = :kind AND item = :item
"""

LEASED: Final = """
SELECT 1 FROM lease_items AS i JOIN leases AS l ON l.namespace = i.namespace AND l.id = i.id
WHERE i.namespace = :namespace AND i.kind = :kind AND i.item = :item
AND (l.expires_at IS NULL OR l.expires_at > :now)
LIMIT 1
"""

DROP_LEASE_ITEM: Final = """
DELETE FROM lease_items
WHERE namespace = :namespace AND id = :id AND kind = :kind AND item = :item
"""

# -- policies and bounds -------------------------------------------------------------------------

FIND_POLICY: Final = """
SELECT grace, max_bytes, low_bytes, unused_for, filters FROM policies WHERE namespace = :namespace
"""

ANY_POLICY: Final = "SELECT 1 FROM policies LIMIT 1"

BOUNDED: Final = "SELECT namespace FROM policies WHERE max_bytes IS NOT NULL"

SET_POLICY: Final = """
INSERT OR REPLACE INTO policies
    (namespace, grace, max_bytes, low_bytes, unused_for, filters)
VALUES (:namespace, :grace, :max_bytes, :low_bytes, :unused_for, :filters)
"""

DROP_POLICY: Final = "DELETE FROM policies WHERE namespace = :namespace"

COUNT_TOTALS: Final = """
INSERT OR REPLACE INTO totals (namespace, blobs, bytes, reserved)
SELECT :namespace, count(*), coalesce(sum(size), 0),
    (SELECT coalesce(sum(r.bytes), 0) FROM reservations AS r WHERE r.namespace = :namespace)
FROM blobs WHERE namespace = :namespace AND state = 0
"""

# Those of writers that go on now: the next byte of each reserves for all of them.
RESERVE_FOR_INGESTS: Final = """
INSERT OR IGNORE INTO reservations (namespace, name, token, bytes)
SELECT namespace, name, token, "offset" FROM ingests
WHERE namespace = :namespace AND "offset" > 0
"""

DROP_TOTALS: Final = "DELETE FROM totals WHERE namespace = :namespace"

ANY_TOTALS: Final = "SELECT 1 FROM totals LIMIT 1"

TOTALS: Final = """
SELECT blobs, bytes, reserved FROM totals WHERE namespace = :namespace
"""

ALL_TOTALS: Final = """
SELECT t.namespace, t.blobs, t.bytes, t.reserved,
    (SELECT count(*) FROM blobs AS b WHERE b.namespace = t.namespace AND b.state = 0),
    (SELECT coalesce(sum(b.size), 0) FROM blobs AS b
     WHERE b.namespace = t.namespace AND b.state = 0),
    (SELECT coalesce(sum(r.bytes), 0) FROM reservations AS r WHERE r.namespace = t.namespace)
FROM totals AS t
"""

# What a holder may have: the bound, what is taken of it, and what of that is the holder's.
ROOM: Final = """
SELECT p.max_bytes, t.bytes + t.reserved, coalesce(r.bytes, 0)
FROM policies AS p JOIN totals AS t ON t.namespace = p.namespace
LEFT JOIN reservations AS r ON r.namespace = p.namespace AND r.name = :name
WHERE p.namespace = :namespace AND p.max_bytes IS NOT NULL
"""

RESERVE: Final = """
INSERT INTO reservations (namespace, name, token, bytes)
VALUES (:namespace, :name, :token, :bytes)
ON CONFLICT (namespace, name) DO UPDATE SET token = excluded.token, bytes = excluded.bytes
"""

RESERVED_BYTES: Final = """
SELECT bytes FROM reservations WHERE namespace = :namespace AND name = :name
"""

LOWER_RESERVATION: Final = """
UPDATE reservations SET bytes = :bytes
WHERE namespace = :namespace AND name = :name AND token = :token AND bytes > :bytes
"""

USE_RESERVATION: Final = """
UPDATE reservations SET bytes = bytes - :size
WHERE namespace = :namespace AND name = :name
"""

DROP_USED_RESERVATION: Final = """
DELETE FROM reservations WHERE namespace = :namespace AND name = :name AND bytes <= :size
"""

DROP_RESERVATION: Final = """
DELETE FROM reservations WHERE namespace = :namespace AND name = :name AND token = :token
"""

DROP_RESERVATIONS: Final = "DELETE FROM reservations WHERE namespace = :namespace"

RESERVATIONS: Final = """
SELECT name, token, bytes FROM reservations
WHERE namespace = :namespace AND name > :after ORDER BY name LIMIT :limit
"""

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
