"""Making a store and opening one: what is refused, and in which order a new one comes to be.

The index comes last: a directory whose index has its schema is a whole store, and a creation
that was cut off anywhere before goes on when the store is opened again.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from contentdb import files, reserve
from contentdb.digest import DEFAULT_ALGORITHM
from contentdb.errors import (
    IndexBusyError,
    IndexDamagedError,
    NotAStoreError,
    StorageError,
    StoreError,
    StoreNotFoundError,
    UnsupportedFilesystemError,
)
from contentdb.filesystem import is_network, kind_of
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
from contentdb.parts import Parts
from contentdb.shards import Shards
from contentdb.sharing import Sharing

if TYPE_CHECKING:
    from contentdb.files import Directory

__all__ = ["check_no_other", "make_directories", "migrate", "open_parts", "open_root", "open_tree"]

_MAKING_S: Final = 60.0
"""How long to wait for another process that is making the same store."""

_OF_A_STORE: Final = {*DIRECTORIES, "lost+found"}


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
            _make(directory, path, create=create)
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


_MISSING: Final = "there is no store here; make one with `contentdb init`, or open(create=True)"


def open_root(path: Path, *, create: bool) -> Directory:
    """Open the root, made if need be with what is missing above it."""
    try:
        is_there, is_folder = path.exists(), path.is_dir()
    except OSError as error:
        raise StorageError.of("stat", path, error) from error
    if is_there and not is_folder:
        raise NotAStoreError(str(path), "it is a file, not a directory; name another root")
    if not is_there:
        if not create:
            raise StoreNotFoundError(str(path), _MISSING)
        try:
            _make_parents(path)
            path.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise StorageError.of("make directory", path, error) from error
    return files.open_directory(str(path))


def _make_parents(path: Path) -> None:
    """Make what is missing above a path, and put each name on disk."""
    missing = [parent for parent in path.parents if not parent.exists()]
    for parent in reversed(missing):
        parent.mkdir(exist_ok=True)
        _sync_parent(parent)


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
    if not _has_index_file(directory, path):
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


def _has_index_file(directory: Directory, path: Path) -> bool:
    found = files.stat_name(directory, INDEX)
    if found is not None and not files.is_private_file(found):
        raise NotAStoreError(str(path), f"its {INDEX} is not a regular file of this user")
    return found is not None and found.st_size > 0


def _has_index(directory: Directory, path: Path) -> bool:
    """Whether there is an index that was finished once and that this library can use."""
    if not _has_index_file(directory, path):
        return False
    name = revision.revision_of(str(path / INDEX), str(path))
    if name is None:
        return False
    revision.check(name, str(path))
    return True


# -- making ---------------------------------------------------------------------------------


def _make(directory: Directory, path: Path, *, create: bool) -> None:
    """Make what is missing, alone; whoever waited for another finds nothing left to do.

    Whether there is a store is judged alone too: another may be half-way through making it.
    """
    if not files.lock(directory.fd, str(path), wait=_MAKING_S):
        raise IndexBusyError(str(path / INDEX), "another process is making the store; try again")
    try:
        if _has_index(directory, path):
            return
        _check_empty(directory, path, create=create)
        if not create:
            raise StoreNotFoundError(str(path), _MISSING)
        if is_network(kind := kind_of(path)):
            raise UnsupportedFilesystemError(
                str(path),
                f"it is on {kind}, whose locks and syncs cannot be trusted; use a local disk",
            )
        files.set_mode(directory.fd, 0o700, str(path))
        make_directories(directory)
        make_index(directory, INDEX)
        files.sync_directory(directory)
        _sync_parent(path)
    finally:
        files.unlock(directory.fd)


def check_no_other(path: Path, names: set[str], remedy: str) -> None:
    """Raise `NotAStoreError` where a root holds what no store does.

    The index has company that comes and goes: its log, its journal, the one that replaces it.
    """
    others = sorted(name for name in names - _OF_A_STORE if not name.startswith(INDEX))
    if others:
        raise NotAStoreError(
            str(path), f"it holds {others[0]!r}, so it is something else; {remedy}"
        )


def _check_empty(directory: Directory, path: Path, *, create: bool) -> None:
    """Refuse what is no place for a new store, and what was a store and lost its index."""
    names = {entry.name for entry in files.entries(directory)}
    if create:
        check_no_other(path, names, "name an empty directory")
    if BLOBS not in names:
        return
    shards = Shards(files.open_directory(BLOBS, within=directory))
    try:
        if any(children for _algorithm, _shard, children in shards.listing()):
            raise IndexDamagedError(
                str(path / INDEX), "it is missing; `contentdb reindex` rebuilds it from the blobs"
            )
    finally:
        shards.close()


def make_directories(directory: Directory) -> None:
    """Make the directories of the layout that are missing, and put their names on disk."""
    for name in DIRECTORIES:
        files.make_directory(directory, name)
    shards = Shards(files.open_directory(BLOBS, within=directory))
    try:
        shards.make(DEFAULT_ALGORITHM)
    finally:
        shards.close()
    files.sync_directory(directory)


def make_index(directory: Directory, name: str) -> None:
    """Make an index file, if it is missing, and its schema."""
    from contentdb.index.migrate import upgrade

    if files.stat_name(directory, name) is None:  # closing SQLite's own file drops its locks
        fd = files.open_file(directory, name, os.O_RDWR | os.O_CREAT)
        files.close(fd, directory.child(name))
    upgrade(directory.child(name))


def _sync_parent(path: Path) -> None:
    parent = files.open_directory(str(path.parent))
    try:
        files.sync_directory(parent)
    finally:
        parent.close()


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
            raise StoreNotFoundError(str(path), _MISSING)
        if not files.lock(directory.fd, str(path), wait=_MAKING_S):
            raise IndexBusyError(str(path / INDEX), "it is in use; try again")
        name = revision.revision_of(str(path / INDEX), str(path))
        if name is None:
            raise StoreNotFoundError(str(path), _MISSING)
        if name != revision.HEAD and name in revision.REVISIONS:
            make_index(directory, INDEX)
        revision.check(revision.revision_of(str(path / INDEX), str(path)) or name, str(path))
    finally:
        directory.close()
    return revision.HEAD


# -- opening ----------------------------------------------------------------------------------


def open_tree(
    path: Path, root: Directory, index_name: str, *, namespace: str, durable: bool
) -> Parts:
    """Open the directories of a store, and the index of that name."""
    index = SqliteIndex(str(path / index_name), str(path), namespace=namespace, durable=durable)
    return _with_tree(path, root, index, namespace=namespace, durable=durable)


def _with_tree(
    path: Path, root: Directory, index: SqliteIndex, *, namespace: str, durable: bool
) -> Parts:
    opened: dict[str, Directory] = {}
    try:
        for name in DIRECTORIES:
            if name != BLOBS:  # without blobs there is no store, the others may have been tidied up
                files.make_directory(root, name)
            opened[name] = files.open_directory(name, within=root)
        _check_one_filesystem(path, [root, *opened.values()])
        _share(path, opened[TRASH])
        sharing = Sharing(root)
    except BaseException:
        for directory in opened.values():
            directory.close()
        raise
    return Parts(
        path,
        namespace=namespace,
        durable=durable,
        sharing=sharing,
        index=index,
        shards=Shards(opened[BLOBS]),
        ingest=opened[INGEST],
        trash=opened[TRASH],
        quarantine=opened[QUARANTINE],
    )


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
