"""Tags: names for digests, with labels.

All steps add and change nothing that is there, so a process of the release before that still has
the store open goes on working.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "tags",
        sa.Column("namespace", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("media_type", sa.Text),
        sa.Column("size", sa.BigInteger),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "name", name=op.f("pk_tags")),
        sa.CheckConstraint("size >= 0", name=op.f("ck_tags_size")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_tags_namespace_digest"), "tags", ["namespace", "digest"])
    op.create_table(
        "tag_labels",
        sa.Column("namespace", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "name", "key", name=op.f("pk_tag_labels")),
        sa.ForeignKeyConstraint(
            ["namespace", "name"],
            ["tags.namespace", "tags.name"],
            name=op.f("fk_tag_labels_tags"),
            ondelete="CASCADE",
        ),
        sqlite_with_rowid=False,
    )
