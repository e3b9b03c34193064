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

__all__ = [
    "blobs",
    "ingests",
    "labels",
    "lease_items",
    "lease_labels",
    "leases",
    "metadata",
    "packs",
    "policies",
    "reservations",
    "settings",
    "tag_labels",
    "tags",
    "totals",
]

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
    # where its record is, in a file of ``packs/``; NULL for a blob with a file of its own
    Column("pack", BigInteger),
    Column("offset", BigInteger),
    # when a collector looks whether anything still wants it; NULL: no collector need look
    Column("review_at", BigInteger),
    PrimaryKeyConstraint("namespace", "digest"),
    CheckConstraint("size >= 0", name="size"),
    CheckConstraint("state IN (0, 1, 2)", name="state"),
    # opening a store looks for interrupted deletes: it must not read every row
    Index("ix_blobs_tombstones", "namespace", "state", "digest", sqlite_where=text("state = 1")),
    Index("ix_blobs_review", "namespace", "review_at", sqlite_where=text("review_at IS NOT NULL")),
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
    # from a blob to the labels that name it: only of keys that are references
    Index(
        "ix_labels_references",
        "namespace",
        "value",
        "digest",
        sqlite_where=text(
            "key >= 'containerd.io/gc.ref.content' AND key < 'containerd.io/gc.ref.contenu'"
        ),
    ),
    Index(
        "ix_labels_back_references",
        "namespace",
        "value",
        "digest",
        sqlite_where=text(
            "key >= 'containerd.io/gc.bref.content' AND key < 'containerd.io/gc.bref.contenu'"
        ),
    ),
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

packs = Table(
    "packs",
    metadata,
    Column("pack", BigInteger, nullable=False),
    # up to this offset every record has its row, had one, or never gets one
    Column("recorded", BigInteger, nullable=False),
    PrimaryKeyConstraint("pack"),
    sqlite_with_rowid=False,
)

settings = Table(
    "settings",
    metadata,
    Column("name", Text, nullable=False),
    Column("value", Text, nullable=False),
    PrimaryKeyConstraint("name"),
    sqlite_with_rowid=False,
)

tags = Table(
    "tags",
    metadata,
    Column("namespace", Text, nullable=False),
    Column("name", Text, nullable=False),
    # the blob need not be there any more: a delete leaves the name
    Column("digest", Text, nullable=False),
    Column("media_type", Text),
    # of the blob when it was tagged; NULL if that is not known
    Column("size", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("namespace", "name"),
    CheckConstraint("size >= 0", name="size"),
    Index(None, "namespace", "digest"),
    sqlite_with_rowid=False,
)

tag_labels = Table(
    "tag_labels",
    metadata,
    Column("namespace", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("value", Text, nullable=False),
    PrimaryKeyConstraint("namespace", "name", "key"),
    ForeignKeyConstraint(
        ["namespace", "name"], ["tags.namespace", "tags.name"], ondelete="CASCADE"
    ),
    sqlite_with_rowid=False,
)

leases = Table(
    "leases",
    metadata,
    Column("namespace", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # NULL: it lasts until it is ended, or as long as its file is locked
    Column("expires_at", BigInteger),
    # 1: it keeps its items alone, not what they refer to
    Column("flat", SmallInteger, nullable=False),
    # in ``ingest/``; the lock of that file shows that the process of a held lease lives
    Column("file", Text),
    # that process, for messages only
    Column("holder", Text),
    PrimaryKeyConstraint("namespace", "id"),
    CheckConstraint("flat IN (0, 1)", name="flat"),
    sqlite_with_rowid=False,
)

lease_labels = Table(
    "lease_labels",
    metadata,
    Column("namespace", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("value", Text, nullable=False),
    PrimaryKeyConstraint("namespace", "id", "key"),
    ForeignKeyConstraint(
        ["namespace", "id"], ["leases.namespace", "leases.id"], ondelete="CASCADE"
    ),
    sqlite_with_rowid=False,
)

lease_items = Table(
    "lease_items",
    metadata,
    Column("namespace", Text, nullable=False),
    Column("id", Text, nullable=False),
    # ``content``, ``ingest``, or what a client of containerd's writes there
    Column("kind", Text, nullable=False),
    # a digest, a ref; it need not be there
    Column("item", Text, nullable=False),
    PrimaryKeyConstraint("namespace", "id", "kind", "item"),
    ForeignKeyConstraint(
        ["namespace", "id"], ["leases.namespace", "leases.id"], ondelete="CASCADE"
    ),
    Index(None, "namespace", "kind", "item"),
    sqlite_with_rowid=False,
)

policies = Table(
    "policies",
    metadata,
    Column("namespace", Text, nullable=False),
    # nanoseconds; NULL means the usual grace
    Column("grace", BigInteger),
    # bytes of blobs and reservations together; NULL sets no bound
    Column("max_bytes", BigInteger),
    # down to so many a collection goes once the bound is met
    Column("low_bytes", BigInteger),
    # nanoseconds without use after which content goes; NULL: only the bound takes it
    Column("unused_for", BigInteger),
    # a JSON array of texts: only what one of them selects may go
    Column("filters", Text, nullable=False),
    PrimaryKeyConstraint("namespace"),
    sqlite_with_rowid=False,
)

# Only of namespaces with a bound. Triggers keep it, which the first bound of a store makes: see
# `contentdb.local.index.policy`.
totals = Table(
    "totals",
    metadata,
    Column("namespace", Text, nullable=False),
    # live ones
    Column("blobs", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    # sum of `reservations`
    Column("reserved", BigInteger, nullable=False),
    PrimaryKeyConstraint("namespace"),
    sqlite_with_rowid=False,
)

reservations = Table(
    "reservations",
    metadata,
    Column("namespace", Text, nullable=False),
    # of a file in ``ingest/`` whose lock shows that the owner lives: that of an ingest, or
    # ``.<token>``, with a number behind it
    Column("name", Text, nullable=False),
    # random, new for every writer: only the last one of a name may change its row
    Column("token", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    PrimaryKeyConstraint("namespace", "name"),
    sqlite_with_rowid=False,
)
