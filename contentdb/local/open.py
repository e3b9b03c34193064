"""Open a store, make it first if allowed, and migrate the index of an older one."""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Final

from contentdb import files, forks
from contentdb.errors import (
    ContentDBError,
    IndexBusyError,
    NotAStoreError,
    StorageError,
    StoreError,
    StoreNotFoundError,
    StoreReadOnlyError,
    UnsupportedFilesystemError,
)
from contentdb.local import disk_reserve
from contentdb.local.blobs import Shards
from contentdb.local.create import MAKING_S, MISSING, has_index_file, make, open_root
from contentdb.local.index import revision
from contentdb.local.index.connect import not_forking
from contentdb.local.index.index import Index
from contentdb.local.layout import BLOBS, DIRECTORIES, INDEX, INGEST, QUARANTINE, TRASH, root_path
from contentdb.local.resources import Options, Parts
from contentdb.local.root_identity import Place
from contentdb.local.shared_flags import Sharing
from contentdb.refs import DEFAULT_NAMESPACE

if TYPE_CHECKING:
    from pathlib import Path

    from contentdb.files import Directory

_FOR_ONE: Final = (
    "it was made for its owner alone; how to give it to a group stands in docs/operations.md"
)

__all__ = ["may_only_read", "migrate", "open_parts", "open_tree"]


def open_parts(
    root: str | os.PathLike[str], options: Options, *, create: bool, for_group: bool = False
) -> Parts:
    """Open a store; make it first if it is missing and ``create`` allows.

    With ``read_only``, nothing is made or changed, and no writer waits longer than a look-up
    takes.

    Raises:
        StoreNotFoundError: There is no store, and ``create`` is False.
        StoreReadOnlyError: This process may only read it.
        NotAStoreError, NewerStoreError, MigrationNeededError, UnsupportedFilesystemError,
        StorageError, IndexFailedError: It cannot be used; the message says why and what to do.
    """
    path = root_path(root)
    if options.read_only:
        return _open_to_read(path, options)
    directory = open_root(path, create=create)
    try:
        _check_owner(directory, path)
        disk_reserve.make_room(str(path))
        if for_group and directory.group is None and has_index_file(directory, path):
            raise StoreError(str(path), _FOR_ONE)
        parts = _open_whole(directory, path, options)
        if parts is None:
            make(directory, path, create=create, for_group=for_group)
            parts = open_tree(path, directory, INDEX, options)
        try:
            disk_reserve.keep(directory)
            several = _asks_always(directory, options)
            parts.sharing.announce(directory, several=several, unsynced=not options.durable)
        except BaseException:
            parts.close()
            raise
    finally:
        directory.close()
    return parts


def _open_to_read(path: Path, options: Options) -> Parts:
    directory = open_root(path, create=False)
    try:
        directory.owner = files.stat_open(directory.fd, directory.path).st_uid
        _check_no_other_writes(directory, path)
        parts = _open_whole(directory, path, options)
    finally:
        directory.close()
    if parts is None:
        raise StoreNotFoundError(str(path), MISSING)
    return parts


def _asks_always(root: Directory, options: Options) -> bool:
    """Return whether reads must ask the index, as a file alone does not prove that a blob exists.

    In a group's store, a member that deletes a blob may not mark the file of another member.
    """
    return options.namespace != DEFAULT_NAMESPACE or root.group is not None


def may_only_read(root: str | os.PathLike[str]) -> bool:
    """Return whether there is a store that this process may perhaps read, but not write to."""
    path = root_path(root)
    try:
        directory = open_root(path, create=False)
    except ContentDBError:
        return False
    try:
        return _find_other_owner(directory) is not None or not _is_writable(path)
    finally:
        directory.close()


def _is_writable(path: Path) -> bool:
    return os.access(path, os.W_OK, effective_ids=True)


def _find_other_owner(root: Directory) -> str | None:
    """Return whose store it is, if this process may not write to it; else None."""
    found = files.stat_open(root.fd, root.path)
    if root.group is None:
        return None if found.st_uid == os.geteuid() else f"user {found.st_uid}; only its owner"
    # The owner must be a member too: else chmod(2) drops the set-group-ID bit of new directories.
    mine = os.geteuid() == found.st_uid == 0 or root.group in {os.getegid(), *os.getgroups()}
    return None if mine else f"group {root.group}; only its members"


def _check_owner(directory: Directory, path: Path) -> None:
    if (whose := _find_other_owner(directory)) is not None:
        raise NotAStoreError(
            str(path), f"it belongs to {whose} may write to it; others may open it with mode='r'"
        )
    if not _is_writable(path):
        read_only = os.statvfs(path).f_flag & os.ST_RDONLY
        raise StoreReadOnlyError(
            str(path),
            f"{os.strerror(errno.EROFS if read_only else errno.EACCES)}; "
            "what is there can be read with mode='r'",
        )
    _check_no_other_writes(directory, path)


def _check_no_other_writes(directory: Directory, path: Path) -> None:
    found = files.stat_open(directory.fd, directory.path)
    bits = 0o022 if directory.group is None else 0o002
    if found.st_mode & bits and any(True for _ in files.entries(directory)):
        raise StoreError(
            str(path),
            f"others may write into it; run chmod go-w on it (mode {found.st_mode & 0o777:o}), "
            "or make it for a group: contentdb init --shared=group",
        )


def _open_whole(directory: Directory, path: Path, options: Options) -> Parts | None:
    """Open a store that is whole and of this library's revision; return None if there is none."""
    if not has_index_file(directory, path):
        return None
    place = _place_of(path, directory, INDEX)
    index = _open_index(path, INDEX, options, place)
    try:
        name = index.revision()
        if name is None:
            index.close()
            return None
        revision.check(name, str(path))
        return _assemble(path, directory, index, place, options)
    except BaseException:
        index.close()
        raise


def migrate(root: str | os.PathLike[str]) -> str:
    """Bring an older store's index up to this library's revision, and return that revision.

    Durable when it returns; may be repeated. No other process can use the index meanwhile.

    Raises:
        StoreNotFoundError, NotAStoreError, NewerStoreError: There is nothing to migrate.
    """
    forks.check()
    with not_forking:
        return _migrate(root_path(root))


def _migrate(path: Path) -> str:
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
            from contentdb.local.index.migrate import upgrade  # alembic: 0.3 s

            upgrade(directory.child(INDEX), revision.HEAD)
        revision.check(revision.revision_of(str(path / INDEX), str(path)) or name, str(path))
    finally:
        directory.close()
    return revision.HEAD


def open_tree(path: Path, root: Directory, index_name: str, options: Options) -> Parts:
    """Open the directories of a store, and the index of that name."""
    place = _place_of(path, root, index_name)
    return _assemble(path, root, _open_index(path, index_name, options, place), place, options)


def _open_index(path: Path, name: str, options: Options, place: Place) -> Index:
    return Index(
        str(path / name),
        str(path),
        namespace=options.namespace,
        durable=options.durable,
        read_only=options.read_only,
        place=place,
    )


def _place_of(path: Path, root: Directory, index_name: str) -> Place:
    place = Place(str(path))
    place.watch(str(path), files.stat_open(root.fd, root.path))
    if (found := files.stat_name(root, index_name)) is not None:
        place.watch(root.child(index_name), found)
    return place


def _assemble(path: Path, root: Directory, index: Index, place: Place, options: Options) -> Parts:
    read_only = options.read_only
    with ExitStack() as undo:
        top = files.open_again(root)
        undo.callback(top.close)
        if not read_only:
            _make_again(path, top, index)
        opened: dict[str, Directory] = {}
        for name in DIRECTORIES:
            opened[name] = _open_child(top, name, read_only=read_only)
            undo.callback(opened[name].close)
        _check_one_filesystem(path, [top, *opened.values()])
        blobs = opened[BLOBS]
        place.watch(root.child(BLOBS), files.stat_open(blobs.fd, blobs.path), blobs)
        if not read_only or files.stat_name(top, TRASH) is not None:
            _share(path, opened[TRASH])
        shards = Shards(blobs)
        undo.callback(shards.close)
        if not read_only:
            with suppress(StorageError):  # the write that needs one raises the reason
                shards.complete_all()
        several = _asks_always(root, options)
        sharing = Sharing(top, read_only=read_only, several=several)
        undo.pop_all()
    return Parts(
        path,
        options,
        place=place,
        sharing=sharing,
        index=index,
        shards=shards,
        top=top,
        ingest=opened[INGEST],
        trash=opened[TRASH],
        quarantine=opened[QUARANTINE],
    )


def _make_again(path: Path, root: Directory, index: Index) -> None:
    """Make the directories that are missing, durably: a tool that copies may leave empty ones out.

    Raise if ``blobs/`` is missing but the index has blobs: it was not empty, perhaps a mount.
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


def _open_child(root: Directory, name: str, *, read_only: bool) -> Directory:
    """Open a directory of the layout.

    Copies of a store may lack empty directories. With ``read_only`` the root is opened in place of
    a missing one; it has no file with the name of an ingest.
    """
    if read_only and name != BLOBS and files.stat_name(root, name) is None:
        return files.open_directory(".", within=root)
    return files.open_directory(name, within=root)


def _share(path: Path, trash: Directory) -> None:
    """Lock ``trash/`` until it is closed, which shows `reindex` that the store is in use."""
    if not files.lock_shared(trash.fd, trash.path):
        raise StoreError(str(path), "its index is being rebuilt; try again when that is done")


def _check_one_filesystem(path: Path, directories: list[Directory]) -> None:
    """Raise unless all are on one filesystem: links and renames are atomic only within one."""
    if len({files.stat_open(directory.fd, directory.path).st_dev for directory in directories}) > 1:
        raise UnsupportedFilesystemError(
            str(path), f"{', '.join(DIRECTORIES)} must be on one filesystem with their root"
        )
