"""What a caller notes with an ingest, and the ingests by the content that they expect.

A deletion asks under the write lock whether an ingest waits for the content: without the index it
read all of them. Both steps add and change nothing that is there, so a process of the release
before that still has the store open goes on working.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column and the index."""
    op.add_column("ingests", sa.Column("metadata", sa.Text))
    op.create_index(
        op.f("ix_ingests_expected"),
        "ingests",
        ["expected"],
        sqlite_where=sa.text("expected IS NOT NULL"),
    )
