"""How a store's folder is told from others: the names in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["BLOBS", "DIRECTORIES", "INDEX", "INGEST", "QUARANTINE", "TRASH", "is_store"]

INDEX: Final = "index.sqlite"
BLOBS: Final = "blobs"
INGEST: Final = "ingest"
TRASH: Final = "trash"
QUARANTINE: Final = "quarantine"
DIRECTORIES: Final = (BLOBS, INGEST, TRASH, QUARANTINE)


def is_store(folder: Path) -> bool:
    """Whether it is a store's root, one that has lost its index or its empty directories too."""
    try:
        if not (folder / BLOBS).is_dir():
            return False
        return (folder / INDEX).exists() or all((folder / name).is_dir() for name in DIRECTORIES)
    except OSError:  # closed to this user, who can harm no store in it
        return False
