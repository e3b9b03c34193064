"""The names in a store's folder, by which it is recognised."""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` takes as long as all that a short command needs
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Final

__all__ = [
    "APPLICATION_ID",
    "BLOBS",
    "DEFAULT_ROOT",
    "DIRECTORIES",
    "FORMAT_VERSION",
    "INDEX",
    "INGEST",
    "QUARANTINE",
    "SEVERAL_NAMESPACES",
    "SHARED",
    "TRASH",
    "is_store",
]

DEFAULT_ROOT: Final = ".content"
"""The store of a command line that names none."""

INDEX: Final = "index.sqlite"
SHARED: Final = "index.sqlite-shared"
BLOBS: Final = "blobs"
INGEST: Final = "ingest"
TRASH: Final = "trash"
QUARANTINE: Final = "quarantine"
DIRECTORIES: Final = (BLOBS, INGEST, TRASH, QUARANTINE)

SEVERAL_NAMESPACES: Final = 0
"""Place of the byte in `SHARED` that says whether a name in `BLOBS` promises a blob to all."""

APPLICATION_ID: Final = 0x43444231
"""``CDB1`` in the header of the database file (https://sqlite.org/fileformat.html#application_id)."""

FORMAT_VERSION: Final = 1
"""Version of the layout on disk, in the header's user version; it changes when a path
does, or what a name in `BLOBS` promises: `contentdb.cli.quick` reads blobs by no more than this."""


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
