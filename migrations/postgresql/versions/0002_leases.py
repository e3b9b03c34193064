"""Leases, what they keep, and the times at which a collector looks at blobs."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

_TABLES = """
CREATE TABLE leases (
    token uuid PRIMARY KEY,
    namespace text COLLATE "C" NOT NULL,
    id_hash bytea NOT NULL,
    id text COLLATE "C" NOT NULL,
    session bigint,
    holder text,
    flat boolean NOT NULL,
    labels jsonb NOT NULL DEFAULT '{}',
    created_ns bigint NOT NULL,
    expires_ns bigint,
    ended boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX leases_id_hash ON leases (namespace, id_hash) WHERE NOT ended;
CREATE INDEX leases_id ON leases (namespace, left(id, 500));
CREATE TABLE lease_items (
    lease uuid NOT NULL REFERENCES leases,
    item_hash bytea NOT NULL,
    namespace text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    PRIMARY KEY (lease, item_hash)
);
CREATE INDEX lease_items_item ON lease_items (namespace, item_hash);
CREATE TABLE queue (
    namespace text COLLATE "C" NOT NULL,
    digest text COLLATE "C" NOT NULL,
    review_at bigint NOT NULL,
    PRIMARY KEY (namespace, digest)
);
CREATE INDEX queue_review ON queue (namespace, review_at, digest);
CREATE TABLE collection (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    since_ns bigint,
    old_before_ns bigint NOT NULL
);
INSERT INTO collection (old_before_ns) VALUES (9223372036854775807);
"""


def upgrade() -> None:
    """Make the tables; what was stored before has no time, so no collector looks at it."""
    op.get_bind().exec_driver_sql(_TABLES)
