"""The tables, and nothing else. Their history is in ``migrations/``; a test compares the two.

Times are integer nanoseconds since the epoch; sizes and offsets are bytes. Checksums are
XXH3-64 folded into the signed range. A digest is stored as its text, so that digest order is
the order of the primary key.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

__all__ = ["blobs", "ingests", "labels", "metadata"]

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

blobs = Table(
    "blobs",
    metadata,
    Column("namespace", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("checksum", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    # 0 live, 1 tombstone (being deleted), 2 damaged (its file was found gone or altered)
    Column("state", SmallInteger, nullable=False),
    PrimaryKeyConstraint("namespace", "digest"),
    CheckConstraint("size >= 0", name="size"),
    CheckConstraint("state IN (0, 1, 2)", name="state"),
    # opening a store looks for interrupted deletes: it must not read every row
    Index("ix_blobs_tombstones", "namespace", "state", "digest", sqlite_where=text("state = 1")),
    sqlite_with_rowid=False,
)

labels = Table(
    "labels",
    metadata,
    Column("namespace", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("value", Text, nullable=False),
    PrimaryKeyConstraint("namespace", "digest", "key"),
    ForeignKeyConstraint(
        ["namespace", "digest"], ["blobs.namespace", "blobs.digest"], ondelete="CASCADE"
    ),
    Index(None, "namespace", "key", "value"),
    sqlite_with_rowid=False,
)

ingests = Table(
    "ingests",
    metadata,
    Column("namespace", Text, nullable=False),
    Column("ref", Text, nullable=False),
    # of its file: the hash of namespace and ref, which must be unique
    Column("name", Text, nullable=False),
    # random, new for every writer: it fences off a writer that lost its ref
    Column("token", Text, nullable=False),
    Column("total", BigInteger),
    Column("expected", Text),
    Column("offset", BigInteger, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    # the process, for messages only: the lock on the ingest's file shows that it lives
    Column("holder", Text, nullable=False),
    Column("held_since", BigInteger, nullable=False),
    # a JSON object of the caller's texts: an ETag, say
    Column("metadata", Text),
    PrimaryKeyConstraint("namespace", "ref"),
    UniqueConstraint("name"),
    CheckConstraint('"offset" >= 0', name="offset"),
    CheckConstraint("total >= 0", name="total"),
    # a delete asks under the write lock whether an ingest expects the content
    Index(None, "expected", sqlite_where=text("expected IS NOT NULL")),
    sqlite_with_rowid=False,
)
