"""A table made anew, as SQLite wants it for most changes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "next"
down_revision = "0006"


def upgrade() -> None:
    """Give every blob one thing more to know, and a new index."""
    with op.batch_alter_table("blobs", recreate="always") as batch:
        batch.add_column(sa.Column("more", sa.Text))
    op.create_index("ix_blobs_more", "blobs", ["more"])
