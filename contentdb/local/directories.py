"""Open the directories of a store, and make again those that a copy left out."""

from __future__ import annotations

from contentdb import files
from contentdb.errors import StoreError, UnsupportedFilesystemError
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.create import make_packs
from contentdb.local.layout import BLOBS, DIRECTORIES, PACKS

if TYPE_CHECKING:
    from contentdb.files import Directory
    from contentdb.local.index.index import Index
    from contentdb.local.packs.directory import PackDirectory

__all__ = [
    "check_one_filesystem",
    "lock_in_use",
    "make_missing",
    "open_child",
    "open_packs",
]


def open_packs(
    path: str, root: Directory, index: Index, *, read_only: bool
) -> PackDirectory | None:
    """Open ``packs/``; None in a store that packs nothing.

    Raise if it is missing: it may be a mount, and its removal has removed blobs.
    """
    below = index.pack_below()
    if not below:
        return None
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
    from contentdb.local.packs.directory import PackDirectory  # few stores have packs

    return PackDirectory(files.open_directory(PACKS, within=root), below, read_only=read_only)


def make_missing(path: str, root: Directory, index: Index) -> None:
    """Make the directories that are missing, durably: a tool that copies may leave empty ones out.

    Raise if ``blobs/`` is missing but the index has blobs: it was not empty, perhaps a mount.
    """
    missing = [name for name in DIRECTORIES if files.stat_name(root, name) is None]
    if BLOBS in missing and not index.is_empty():
        raise StoreError(
            path,
            f"its {BLOBS}/ is missing, and its index has blobs; put it back, or where it is lost "
            f"for good make an empty one and run `contentdb reindex`",
        )
    for name in missing:
        files.make_directory(root, name)
    if missing:
        files.sync_directory(root)


def open_child(root: Directory, name: str, *, read_only: bool) -> Directory:
    """Open a directory of the layout.

    Copies of a store may lack empty directories. With ``read_only`` the root is opened in place of
    a missing one; it has no file with the name of an ingest.
    """
    if read_only and name != BLOBS and files.stat_name(root, name) is None:
        return files.open_directory(".", within=root)
    return files.open_directory(name, within=root)


def lock_in_use(path: str, trash: Directory) -> None:
    """Lock ``trash/`` until it is closed, which shows `reindex` that the store is in use."""
    if not files.lock_shared(trash.fd, trash.path):
        raise StoreError(path, "its index is being rebuilt; try again when that is done")


def check_one_filesystem(path: str, directories: list[Directory]) -> None:
    """Raise unless all are on one filesystem: links and renames are atomic only within one."""
    if len({files.stat_open(directory.fd, directory.path).st_dev for directory in directories}) > 1:
        raise UnsupportedFilesystemError(
            path, f"{', '.join(DIRECTORIES)} must be on one filesystem with their root"
        )
