"""The names in a store's folder, by which it is recognised, and the roots that are no folders."""

from __future__ import annotations

import os

TYPE_CHECKING = False  # `typing` takes as long as all that a short command needs
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Final, TypeGuard

__all__ = [
    "APPLICATION_ID",
    "BLOBS",
    "BOUNDED",
    "DEFAULT_ROOT",
    "DIRECTORIES",
    "FORMAT_VERSION",
    "INDEX",
    "INGEST",
    "PACKS",
    "QUARANTINE",
    "SEVERAL_NAMESPACES",
    "SHARED",
    "TRASH",
    "is_database",
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
PACKS: Final = "packs"
"""Only in a store that packs small blobs."""
DIRECTORIES: Final = (BLOBS, INGEST, TRASH, QUARANTINE)

SEVERAL_NAMESPACES: Final = 0
"""Place of the byte in `SHARED` that says whether a name in `BLOBS` promises a blob to all."""
BOUNDED: Final = 3
"""Place of the byte that says whether reads must note when a blob was used."""

APPLICATION_ID: Final = 0x43444231
"""``CDB1`` in the header of the database file (https://sqlite.org/fileformat.html#application_id)."""

FORMAT_VERSION: Final = 1
"""Version of the layout on disk, in the header's user version; it changes when a path
does, or what a name in `BLOBS` promises: `contentdb.cli.quick` reads blobs by no more than this."""


_DATABASES: Final = ("postgresql://", "postgres://")


def is_database(root: object) -> TypeGuard[str]:
    """Return whether a root is the address of a database, not a directory."""
    return isinstance(root, str) and root.startswith(_DATABASES)


def is_store(folder: str | Path) -> bool:
    """Return whether a folder is a store's root, even one without its index or empty directories.

    One of these two may be missing, not both.
    """
    # What this user may not enter counts as none: no store in it can be harmed.
    if not os.path.isdir(f"{folder}/{BLOBS}"):  # noqa: PTH112 - pathlib is slow to import
        return False
    if os.path.exists(f"{folder}/{INDEX}"):  # noqa: PTH110 - as above
        return True
    return all(os.path.isdir(f"{folder}/{name}") for name in DIRECTORIES)  # noqa: PTH112 - as above
