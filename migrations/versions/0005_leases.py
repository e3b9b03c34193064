"""What a collector goes by: when to look at a blob, who refers to it, and leases that keep it.

All steps add and change nothing that is there, so a process of the release before that still has
the store open goes on working; but its answers that content is stored keep nothing, so end it
before the first collection. No blob that is there is in the queue: collection takes none of them
until something looks for it or refers to it and does so no more.
"""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_REFERENCES = "key >= 'containerd.io/gc.ref.content' AND key < 'containerd.io/gc.ref.contenu'"
_BACK = "key >= 'containerd.io/gc.bref.content' AND key < 'containerd.io/gc.bref.contenu'"


def upgrade() -> None:
    """Add the column, the indexes and the tables, and note what is older than the queue."""
    settings = sa.table("settings", sa.column("name", sa.Text), sa.column("value", sa.Text))
    op.execute(settings.insert().values(name="old_before", value=str(time.time_ns())))
    op.add_column("blobs", sa.Column("review_at", sa.BigInteger))
    op.create_index(
        "ix_blobs_review",
        "blobs",
        ["namespace", "review_at"],
        sqlite_where=sa.text("review_at IS NOT NULL"),
    )
    for name, where in (("references", _REFERENCES), ("back_references", _BACK)):
        op.create_index(
            f"ix_labels_{name}",
            "labels",
            ["namespace", "value", "digest"],
            sqlite_where=sa.text(where),
        )
    op.create_table(
        "leases",
        sa.Column("namespace", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("flat", sa.SmallInteger, nullable=False),
        sa.Column("file", sa.Text),
        sa.Column("holder", sa.Text),
        sa.PrimaryKeyConstraint("namespace", "id", name=op.f("pk_leases")),
        sa.CheckConstraint("flat IN (0, 1)", name=op.f("ck_leases_flat")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "lease_labels",
        sa.Column("namespace", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "id", "key", name=op.f("pk_lease_labels")),
        _of_lease("lease_labels"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "lease_items",
        sa.Column("namespace", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("item", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "id", "kind", "item", name=op.f("pk_lease_items")),
        _of_lease("lease_items"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_lease_items_namespace_kind_item"), "lease_items", ["namespace", "kind", "item"]
    )


def _of_lease(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["namespace", "id"],
        ["leases.namespace", "leases.id"],
        name=op.f(f"fk_{table}_leases"),
        ondelete="CASCADE",
    )
