"""Opening a store, made first if it may be, and bringing an older one's index up to date."""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from contentdb import files, reserve
from contentdb.errors import (
    IndexBusyError,
    NotAStoreError,
    StorageError,
    StoreError,
    StoreNotFoundError,
    UnsupportedFilesystemError,
)
from contentdb.index import revision
from contentdb.index.opening import not_forking
from contentdb.index.sqlite import SqliteIndex
from contentdb.layout import (
    BLOBS,
    DEFAULT_NAMESPACE,
    DIRECTORIES,
    INDEX,
    INGEST,
    QUARANTINE,
    TRASH,
)
from contentdb.making import MAKING_S, MISSING, has_index_file, make, open_root
from contentdb.parts import Parts
from contentdb.shards import Shards
from contentdb.sharing import Sharing

if TYPE_CHECKING:
    from contentdb.files import Directory

__all__ = ["migrate", "open_parts", "open_tree"]


def open_parts(
    root: str | os.PathLike[str], *, create: bool, namespace: str, durable: bool
) -> Parts:
    """Open a store, made first if it is missing and ``create`` allows.

    Raises:
        StoreNotFoundError: There is none, and none is to be made.
        NotAStoreError, NewerStoreError, MigrationNeededError, UnsupportedFilesystemError,
        StorageError, IndexFailedError: It cannot be used; the message says why and what to do.
    """
    path = Path(os.path.realpath(root))
    directory = open_root(path, create=create)
    try:
        _check_owner(directory, path)
        reserve.make_room(str(path))
        parts = _open_whole(directory, path, namespace=namespace, durable=durable)
        if parts is None:
            make(directory, path, create=create)
            parts = open_tree(path, directory, INDEX, namespace=namespace, durable=durable)
        try:
            reserve.keep(directory)
            several = namespace != DEFAULT_NAMESPACE
            parts.sharing.announce(directory, several=several, unsynced=not durable)
        except BaseException:
            parts.close()
            raise
    finally:
        directory.close()
    return parts


def _check_owner(directory: Directory, path: Path) -> None:
    found = files.stat_open(directory.fd, directory.path)
    if found.st_uid != os.geteuid():
        raise NotAStoreError(
            str(path), f"it belongs to user {found.st_uid}; only its owner may use a store"
        )
    if found.st_mode & 0o022 and any(True for _ in files.entries(directory)):
        raise StoreError(
            str(path),
            f"others may write into it; run chmod go-w on it (mode {found.st_mode & 0o777:o})",
        )


def _open_whole(directory: Directory, path: Path, *, namespace: str, durable: bool) -> Parts | None:
    """Open a store that is whole and of this library's revision; None if there is none yet."""
    if not has_index_file(directory, path):
        return None
    index = SqliteIndex(str(path / INDEX), str(path), namespace=namespace, durable=durable)
    try:
        name = index.revision()
        if name is None:
            index.close()
            return None
        revision.check(name, str(path))
        return _with_tree(path, directory, index, namespace=namespace, durable=durable)
    except BaseException:
        index.close()
        raise


def migrate(root: str | os.PathLike[str]) -> str:
    """Bring an older store's index up to this library's revision, and name that revision.

    Durable when it returns; may be repeated. Nobody else gets at the index meanwhile.

    Raises:
        StoreNotFoundError, NotAStoreError, NewerStoreError: There is nothing to migrate.
    """
    with not_forking:
        return _migrated(Path(os.path.realpath(root)))


def _migrated(path: Path) -> str:
    directory = open_root(path, create=False)
    try:
        _check_owner(directory, path)
        if files.stat_name(directory, INDEX) is None:
            raise StoreNotFoundError(str(path), MISSING)
        if not files.lock(directory.fd, str(path), wait=MAKING_S):
            raise IndexBusyError(str(path / INDEX), "it is in use; try again")
        name = revision.revision_of(str(path / INDEX), str(path))
        if name is None:
            raise StoreNotFoundError(str(path), MISSING)
        if name != revision.HEAD and name in revision.REVISIONS:
            from contentdb.index.migrate import upgrade  # alembic: 0.3 s

            upgrade(directory.child(INDEX), revision.HEAD)
        revision.check(revision.revision_of(str(path / INDEX), str(path)) or name, str(path))
    finally:
        directory.close()
    return revision.HEAD


def open_tree(
    path: Path, root: Directory, index_name: str, *, namespace: str, durable: bool
) -> Parts:
    """Open the directories of a store, and the index of that name."""
    index = SqliteIndex(str(path / index_name), str(path), namespace=namespace, durable=durable)
    return _with_tree(path, root, index, namespace=namespace, durable=durable)


def _with_tree(
    path: Path, root: Directory, index: SqliteIndex, *, namespace: str, durable: bool
) -> Parts:
    with ExitStack() as undo:
        top = files.Directory(os.dup(root.fd), root.path)
        undo.callback(top.close)
        _make_again(path, top, index)
        opened: dict[str, Directory] = {}
        for name in DIRECTORIES:
            opened[name] = files.open_directory(name, within=top)
            undo.callback(opened[name].close)
        _check_one_filesystem(path, [top, *opened.values()])
        _share(path, opened[TRASH])
        shards = Shards(opened[BLOBS])
        undo.callback(shards.close)
        with suppress(StorageError):  # the write that needs one tells why it cannot be made
            shards.complete_all()
        sharing = Sharing(top)
        undo.pop_all()
    return Parts(
        path,
        namespace=namespace,
        durable=durable,
        sharing=sharing,
        index=index,
        shards=shards,
        top=top,
        ingest=opened[INGEST],
        trash=opened[TRASH],
        quarantine=opened[QUARANTINE],
    )


def _make_again(path: Path, root: Directory, index: SqliteIndex) -> None:
    """Make the directories that are missing, durably: a tool that copies may leave empty ones out.

    Where the index has blobs, a missing ``blobs/`` is no empty one, but a mount that is not there.
    """
    missing = [name for name in DIRECTORIES if files.stat_name(root, name) is None]
    if BLOBS in missing and not index.is_empty():
        raise StoreError(
            str(path),
            f"its {BLOBS}/ is missing, and its index has blobs; put it back, or where it is lost "
            f"for good make an empty one and run `contentdb reindex`",
        )
    for name in missing:
        files.make_directory(root, name)
    if missing:
        files.sync_directory(root)


def _share(path: Path, trash: Directory) -> None:
    """Say, until the descriptor is closed, that the store is in use: see `reindex`."""
    if not files.lock_shared(trash.fd, trash.path):
        raise StoreError(str(path), "its index is being rebuilt; try again when that is done")


def _check_one_filesystem(path: Path, directories: list[Directory]) -> None:
    """Links and renames are whole within one filesystem only."""
    if len({files.stat_open(directory.fd, directory.path).st_dev for directory in directories}) > 1:
        raise UnsupportedFilesystemError(
            str(path), f"{', '.join(DIRECTORIES)} must be on one filesystem with their root"
        )
