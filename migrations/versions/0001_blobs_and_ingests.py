"""Blobs with their labels, and ingests."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the three tables."""
    op.create_table(
        "blobs",
        sa.Column("namespace", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("checksum", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "digest", name="pk_blobs"),
        sa.CheckConstraint("size >= 0", name=op.f("ck_blobs_size")),
        sa.CheckConstraint("state IN (0, 1, 2)", name=op.f("ck_blobs_state")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_blobs_tombstones",
        "blobs",
        ["namespace", "state", "digest"],
        sqlite_where=sa.text("state = 1"),
    )
    op.create_table(
        "labels",
        sa.Column("namespace", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "digest", "key", name="pk_labels"),
        sa.ForeignKeyConstraint(
            ["namespace", "digest"],
            ["blobs.namespace", "blobs.digest"],
            name="fk_labels_blobs",
            ondelete="CASCADE",
        ),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_labels_namespace_key_value"), "labels", ["namespace", "key", "value"])
    op.create_table(
        "ingests",
        sa.Column("namespace", sa.Text, nullable=False),
        sa.Column("ref", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("total", sa.BigInteger),
        sa.Column("expected", sa.Text),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("held_since", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "ref", name="pk_ingests"),
        sa.UniqueConstraint("name", name="uq_ingests_name"),
        sa.CheckConstraint('"offset" >= 0', name=op.f("ck_ingests_offset")),
        sa.CheckConstraint("total >= 0", name=op.f("ck_ingests_total")),
        sqlite_with_rowid=False,
    )
