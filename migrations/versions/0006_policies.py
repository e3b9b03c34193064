"""Policies of collection, and what a bound goes by: totals, and what writers have reserved.

All steps add tables and change nothing that is there, so a process of the release before that
still has the store open goes on working. It reserves nothing, so end it before a bound is set.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the tables; they stay empty until a policy is set."""
    op.create_table(
        "policies",
        sa.Column("namespace", sa.Text, nullable=False),
        sa.Column("grace", sa.BigInteger),
        sa.Column("max_bytes", sa.BigInteger),
        sa.Column("low_bytes", sa.BigInteger),
        sa.Column("unused_for", sa.BigInteger),
        sa.Column("filters", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("namespace", name=op.f("pk_policies")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "totals",
        sa.Column("namespace", sa.Text, nullable=False),
        sa.Column("blobs", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("reserved", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("namespace", name=op.f("pk_totals")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "reservations",
        sa.Column("namespace", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "name", name=op.f("pk_reservations")),
        sqlite_with_rowid=False,
    )
