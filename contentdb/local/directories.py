"""Directories that few stores have, or that a copy of a store left out."""

from __future__ import annotations

from contentdb import files
from contentdb.errors import StoreError
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.create import make_packs
from contentdb.local.layout import BLOBS, PACKS
from contentdb.local.packs.directory import PackDirectory

if TYPE_CHECKING:
    from contentdb.files import Directory
    from contentdb.local.index.index import Index

__all__ = ["make_missing", "open_packs"]


def open_packs(
    path: str, root: Directory, index: Index, below: int, *, read_only: bool
) -> PackDirectory:
    """Open ``packs/``. Raise if it is missing: it may be a mount, whose removal removes blobs."""
    missing = files.stat_name(root, PACKS) is None
    if missing and not read_only and not index.packs():  # a tool that copies may leave it out
        make_packs(root, below)
        files.sync_directory(root)
    elif missing:
        raise StoreError(
            path,
            f"its {PACKS}/ is missing, which holds its small blobs; put it back, or where it is "
            "lost for good make an empty one and run `contentdb verify --repair`",
        )
    return PackDirectory(files.open_directory(PACKS, within=root), below, read_only=read_only)


def make_missing(path: str, root: Directory, index: Index, missing: list[str]) -> None:
    """Make directories that are missing, durably: a tool that copies may leave empty ones out.

    Raise if ``blobs/`` is missing but the index has blobs: it was not empty, perhaps a mount.
    """
    if BLOBS in missing and not index.is_empty():
        raise StoreError(
            path,
            f"its {BLOBS}/ is missing, and its index has blobs; put it back, or where it is lost "
            f"for good make an empty one and run `contentdb reindex`",
        )
    for name in missing:
        files.make_directory(root, name)
    files.sync_directory(root)
