"""Make a new index at the newest revision, in one transaction.

The statements make the schema that the migrations result in; a test compares both. alembic would
take ten times as long, and a quarter of a second before that to be imported.
"""

from __future__ import annotations

import contextlib
import sqlite3
from typing import Final

from contentdb.local.index.connect import connect, refusal
from contentdb.local.index.revision import HEAD
from contentdb.store_folder import APPLICATION_ID, FORMAT_VERSION

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
    CONSTRAINT pk_blobs PRIMARY KEY (namespace, digest),
    CONSTRAINT ck_blobs_size CHECK (size >= 0),
    CONSTRAINT ck_blobs_state CHECK (state IN (0, 1, 2))
) WITHOUT ROWID
""",
    "CREATE INDEX ix_blobs_tombstones ON blobs (namespace, state, digest) WHERE state = 1",
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
    f"INSERT INTO alembic_version (version_num) VALUES ('{HEAD}')",  # noqa: S608 - our own
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {FORMAT_VERSION}",
    "COMMIT",
)


def create_tables(path: str) -> None:
    """Make the tables in an empty database file; the caller keeps others out.

    Durable when it returns; after a crash at any point the file is still empty, or finished.

    Raises:
        IndexFailedError, StorageError: The database refused; it is unchanged, or finished if the
            last step failed.
    """
    try:
        with contextlib.closing(connect(path)) as connection:
            for statement in ("PRAGMA synchronous = FULL", *_STATEMENTS):
                connection.execute(statement).fetchall()
    except sqlite3.Error as error:
        raise refusal(path, error) from error
