"""A store of today taken back to the first revision, with all that it holds."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from contentdb.local.index.connect import connect

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["take_back"]

_STATEMENTS: Final = (
    "BEGIN IMMEDIATE",
    "DROP TABLE policies",
    "DROP TABLE totals",
    "DROP TABLE reservations",
    "DROP TABLE lease_items",
    "DROP TABLE lease_labels",
    "DROP TABLE leases",
    "DROP INDEX ix_labels_references",
    "DROP INDEX ix_labels_back_references",
    "DROP INDEX ix_blobs_review",
    "ALTER TABLE blobs DROP COLUMN review_at",
    "DROP TABLE tag_labels",
    "DROP TABLE tags",
    "DROP TABLE packs",
    "DROP TABLE settings",
    "ALTER TABLE blobs DROP COLUMN pack",
    'ALTER TABLE blobs DROP COLUMN "offset"',
    "DROP INDEX ix_ingests_expected",
    "ALTER TABLE ingests DROP COLUMN metadata",
    "UPDATE alembic_version SET version_num = '0001'",
    "COMMIT",
)


def take_back(root: Path) -> None:
    """Undo what the migrations since 0001 have done to a store's index."""
    with contextlib.closing(connect(str(root / "index.sqlite"))) as db:
        for statement in _STATEMENTS:
            db.execute(statement)
