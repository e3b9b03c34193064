"""The names in a store's folder, by which it is recognised."""

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
    """Return whether a folder is a store's root, even one without its index or empty directories.

    One of these two may be missing, not both.
    """
    try:
        if not (folder / BLOBS).is_dir():
            return False
        return (folder / INDEX).exists() or all((folder / name).is_dir() for name in DIRECTORIES)
    except OSError:  # this user may not enter the folder, so can harm no store in it
        return False
