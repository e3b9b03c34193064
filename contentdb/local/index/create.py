"""Make a new index at the newest revision, in one transaction.

The statements make the schema that the migrations result in; a test compares both. alembic would
take ten times as long, and a quarter of a second before that to be imported.
"""

from __future__ import annotations

import contextlib

from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.index import driver as sqlite3
from contentdb.local.index import statements
from contentdb.local.index.bound import PACK_BELOW
from contentdb.local.index.connect import connect, refusal
from contentdb.local.index.revision import HEAD
from contentdb.store_folder import APPLICATION_ID, FORMAT_VERSION

if TYPE_CHECKING:
    from typing import Final

__all__ = ["create_tables"]

_STATEMENTS: Final = (
    "BEGIN IMMEDIATE",
    """
CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
)
""",
    """
CREATE TABLE blobs (
    namespace TEXT NOT NULL,
    digest TEXT NOT NULL,
    size BIGINT NOT NULL,
    checksum BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    state SMALLINT NOT NULL,
    pack BIGINT,
    "offset" BIGINT,
    review_at BIGINT,
    CONSTRAINT pk_blobs PRIMARY KEY (namespace, digest),
    CONSTRAINT ck_blobs_size CHECK (size >= 0),
    CONSTRAINT ck_blobs_state CHECK (state IN (0, 1, 2))
) WITHOUT ROWID
""",
    "CREATE INDEX ix_blobs_tombstones ON blobs (namespace, state, digest) WHERE state = 1",
    "CREATE INDEX ix_blobs_review ON blobs (namespace, review_at) WHERE review_at IS NOT NULL",
    """
CREATE TABLE labels (
    namespace TEXT NOT NULL,
    digest TEXT NOT NULL,
    "key" TEXT NOT NULL,
    value TEXT NOT NULL,
    CONSTRAINT pk_labels PRIMARY KEY (namespace, digest, "key"),
    CONSTRAINT fk_labels_blobs FOREIGN KEY(namespace, digest)
        REFERENCES blobs (namespace, digest) ON DELETE CASCADE
) WITHOUT ROWID
""",
    'CREATE INDEX ix_labels_namespace_key_value ON labels (namespace, "key", value)',
    """
CREATE INDEX ix_labels_references ON labels (namespace, value, digest)
WHERE key >= 'containerd.io/gc.ref.content' AND key < 'containerd.io/gc.ref.contenu'
""",
    """
CREATE INDEX ix_labels_back_references ON labels (namespace, value, digest)
WHERE key >= 'containerd.io/gc.bref.content' AND key < 'containerd.io/gc.bref.contenu'
""",
    """
CREATE TABLE ingests (
    namespace TEXT NOT NULL,
    ref TEXT NOT NULL,
    name TEXT NOT NULL,
    token TEXT NOT NULL,
    total BIGINT,
    expected TEXT,
    "offset" BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    holder TEXT NOT NULL,
    held_since BIGINT NOT NULL,
    metadata TEXT,
    CONSTRAINT pk_ingests PRIMARY KEY (namespace, ref),
    CONSTRAINT uq_ingests_name UNIQUE (name),
    CONSTRAINT ck_ingests_offset CHECK ("offset" >= 0),
    CONSTRAINT ck_ingests_total CHECK (total >= 0)
) WITHOUT ROWID
""",
    "CREATE INDEX ix_ingests_expected ON ingests (expected) WHERE expected IS NOT NULL",
    """
CREATE TABLE packs (
    pack BIGINT NOT NULL,
    recorded BIGINT NOT NULL,
    CONSTRAINT pk_packs PRIMARY KEY (pack)
) WITHOUT ROWID
""",
    """
CREATE TABLE settings (
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    CONSTRAINT pk_settings PRIMARY KEY (name)
) WITHOUT ROWID
""",
    """
CREATE TABLE tags (
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    media_type TEXT,
    size BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT pk_tags PRIMARY KEY (namespace, name),
    CONSTRAINT ck_tags_size CHECK (size >= 0)
) WITHOUT ROWID
""",
    "CREATE INDEX ix_tags_namespace_digest ON tags (namespace, digest)",
    """
CREATE TABLE tag_labels (
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    "key" TEXT NOT NULL,
    value TEXT NOT NULL,
    CONSTRAINT pk_tag_labels PRIMARY KEY (namespace, name, "key"),
    CONSTRAINT fk_tag_labels_tags FOREIGN KEY(namespace, name)
        REFERENCES tags (namespace, name) ON DELETE CASCADE
) WITHOUT ROWID
""",
    """
CREATE TABLE leases (
    namespace TEXT NOT NULL,
    id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    flat SMALLINT NOT NULL,
    file TEXT,
    holder TEXT,
    CONSTRAINT pk_leases PRIMARY KEY (namespace, id),
    CONSTRAINT ck_leases_flat CHECK (flat IN (0, 1))
) WITHOUT ROWID
""",
    """
CREATE TABLE lease_labels (
    namespace TEXT NOT NULL,
    id TEXT NOT NULL,
    "key" TEXT NOT NULL,
    value TEXT NOT NULL,
    CONSTRAINT pk_lease_labels PRIMARY KEY (namespace, id, "key"),
    CONSTRAINT fk_lease_labels_leases FOREIGN KEY(namespace, id)
        REFERENCES leases (namespace, id) ON DELETE CASCADE
) WITHOUT ROWID
""",
    """
CREATE TABLE lease_items (
    namespace TEXT NOT NULL,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    item TEXT NOT NULL,
    CONSTRAINT pk_lease_items PRIMARY KEY (namespace, id, kind, item),
    CONSTRAINT fk_lease_items_leases FOREIGN KEY(namespace, id)
        REFERENCES leases (namespace, id) ON DELETE CASCADE
) WITHOUT ROWID
""",
    "CREATE INDEX ix_lease_items_namespace_kind_item ON lease_items (namespace, kind, item)",
    """
CREATE TABLE policies (
    namespace TEXT NOT NULL,
    grace BIGINT,
    max_bytes BIGINT,
    low_bytes BIGINT,
    unused_for BIGINT,
    filters TEXT NOT NULL,
    CONSTRAINT pk_policies PRIMARY KEY (namespace)
) WITHOUT ROWID
""",
    """
CREATE TABLE totals (
    namespace TEXT NOT NULL,
    blobs BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    reserved BIGINT NOT NULL,
    CONSTRAINT pk_totals PRIMARY KEY (namespace)
) WITHOUT ROWID
""",
    """
CREATE TABLE reservations (
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    token TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    CONSTRAINT pk_reservations PRIMARY KEY (namespace, name)
) WITHOUT ROWID
""",
    f"INSERT INTO alembic_version (version_num) VALUES ('{HEAD}')",  # noqa: S608 - our own
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {FORMAT_VERSION}",
    "COMMIT",
)


def create_tables(path: str, *, pack_below: int = 0) -> None:
    """Make the tables in an empty database file; the caller keeps others out.

    With ``pack_below`` the store keeps blobs of fewer bytes in packs.

    Durable when it returns; after a crash at any point the file is still empty, or finished.

    Raises:
        IndexFailedError, StorageError: The database refused; it is unchanged, or finished if the
            last step failed.
    """
    try:
        with contextlib.closing(connect(path)) as connection:
            connection.execute("PRAGMA synchronous = FULL").fetchall()
            for statement in _STATEMENTS:
                if statement == "COMMIT" and pack_below:
                    values = {"name": PACK_BELOW, "value": str(pack_below)}
                    connection.execute(statements.SET_SETTING, values)
                connection.execute(statement).fetchall()
    except sqlite3.Error as error:
        raise refusal(path, error) from error
