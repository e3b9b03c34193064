"""Where small blobs lie in packs, how far each pack is recorded, and settings of the store.

All steps add and change nothing that is there, so a process of the release before that still has
the store open goes on working. It finds no packed blobs: a store that exists has none.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the columns and the tables."""
    op.add_column("blobs", sa.Column("pack", sa.BigInteger))
    op.add_column("blobs", sa.Column("offset", sa.BigInteger))
    op.create_table(
        "packs",
        sa.Column("pack", sa.BigInteger, nullable=False),
        sa.Column("recorded", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("pack", name=op.f("pk_packs")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "settings",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_settings")),
        sqlite_with_rowid=False,
    )
