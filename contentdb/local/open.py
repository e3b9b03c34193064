"""Open a store, and make it first if allowed."""

from __future__ import annotations

from contextlib import ExitStack, suppress

from contentdb import files
from contentdb.errors import (
    StorageError,
    StoreError,
    StoreNotFoundError,
    UnsupportedFilesystemError,
)
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local import disk_reserve
from contentdb.local.blobs import Shards
from contentdb.local.create import MISSING, has_index_file, make, open_root
from contentdb.local.index import revision
from contentdb.local.index.index import Index
from contentdb.local.layout import (
    BLOBS,
    DIRECTORIES,
    INDEX,
    INGEST,
    QUARANTINE,
    TRASH,
    root_path,
)
from contentdb.local.owner import check_no_other_writes, check_owner
from contentdb.local.resources import Options, Parts
from contentdb.local.root_identity import Place
from contentdb.local.shared_flags import Sharing
from contentdb.refs import DEFAULT_NAMESPACE

if TYPE_CHECKING:
    import os
    from typing import Final

    from contentdb.files import Directory
    from contentdb.local.packs.append import Appender
    from contentdb.local.packs.directory import PackDirectory

_FOR_ONE: Final = (
    "it was made for its owner alone; docs/operations.md says how to give it to a group"
)

__all__ = ["open_parts", "open_tree"]


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
        check_owner(directory, path)
        disk_reserve.make_room(path)
        if for_group and directory.group is None and has_index_file(directory, path):
            raise StoreError(path, _FOR_ONE)
        parts = _open_whole(directory, path, options)
        if parts is None:
            below = options.pack_below or 0
            make(directory, path, create=create, for_group=for_group, pack_below=below)
            parts = open_tree(path, directory, INDEX, options)
        try:
            _check_pack_below(parts, options)
            if parts.packs is not None:
                from contentdb.local.packs.replay import replay_all  # few stores have packs

                replay_all(parts.packs, parts.index)
            disk_reserve.keep(directory)
            if not parts.sharing.is_whole:
                _find_flags(parts, directory)
            several = _asks_always(directory, options)
            parts.sharing.announce(directory, several=several, unsynced=not options.durable)
        except BaseException:
            parts.close()
            raise
    finally:
        directory.close()
    return parts


def _find_flags(parts: Parts, root: Directory) -> None:
    """Make the file of the flags from the index: it is new, or was lost, as by a copy.

    Whether answers are written down for a collection the index cannot tell: the next one is a first
    one again.
    """
    index = parts.index
    several = any(name != DEFAULT_NAMESPACE for name in index.namespaces())
    parts.sharing.complete(
        root, several=several, unsynced=not index.is_empty(), bounded=index.has_policies()
    )


def _check_pack_below(parts: Parts, options: Options) -> None:
    wanted, made = options.pack_below, 0 if parts.packs is None else parts.packs.below
    if wanted is not None and wanted != made:
        was = f"with pack_below={made}" if made else "without packs"
        raise StoreError(
            parts.root, f"it was made {was}, which cannot be changed; leave pack_below out"
        )


def _open_to_read(path: str, options: Options) -> Parts:
    directory = open_root(path, create=False)
    try:
        directory.owner = files.stat_open(directory.fd, directory.path).st_uid
        check_no_other_writes(directory, path)
        parts = _open_whole(directory, path, options)
    finally:
        directory.close()
    if parts is None:
        raise StoreNotFoundError(path, MISSING)
    if parts.packs is not None and _has_unrecorded(parts.packs, parts.index):
        parts.close()
        raise StoreError(
            path,
            "its packs hold blobs that its index has lost, as after a power cut; "
            "open it once for writing, with mode='rw'",
        )
    return parts


def _has_unrecorded(packs: PackDirectory, index: Index) -> bool:
    from contentdb.local.packs.replay import has_unrecorded  # as above

    return has_unrecorded(packs, index)


def _asks_always(root: Directory, options: Options) -> bool:
    """Return whether reads must ask the index, as a file alone does not prove that a blob exists.

    In a group's store, a member that deletes a blob may not mark the file of another member.
    """
    return options.namespace != DEFAULT_NAMESPACE or root.group is not None


def _open_whole(directory: Directory, path: str, options: Options) -> Parts | None:
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
        revision.check(name, path)
        return _assemble(path, directory, index, place, options)
    except BaseException:
        index.close()
        raise


def open_tree(path: str, root: Directory, index_name: str, options: Options) -> Parts:
    """Open the directories of a store, and the index of that name."""
    place = _place_of(path, root, index_name)
    return _assemble(path, root, _open_index(path, index_name, options, place), place, options)


def _open_index(path: str, name: str, options: Options, place: Place) -> Index:
    return Index(
        f"{path}/{name}",
        path,
        namespace=options.namespace,
        durable=options.durable,
        read_only=options.read_only,
        place=place,
    )


def _place_of(path: str, root: Directory, index_name: str) -> Place:
    place = Place(path)
    place.watch(path, files.stat_open(root.fd, root.path))
    if (found := files.stat_name(root, index_name)) is not None:
        place.watch(root.child(index_name), found)
    return place


def _assemble(path: str, root: Directory, index: Index, place: Place, options: Options) -> Parts:
    read_only = options.read_only
    with ExitStack() as undo:
        top = files.open_again(root)
        undo.callback(top.close)
        if not read_only:
            _make_missing(path, top, index)
        opened: dict[str, Directory] = {}
        for name in DIRECTORIES:
            opened[name] = _open_child(top, name, read_only=read_only)
            undo.callback(opened[name].close)
        _check_one_filesystem(path, [top, *opened.values()])
        blobs = opened[BLOBS]
        place.watch(root.child(BLOBS), files.stat_open(blobs.fd, blobs.path), blobs)
        if not read_only or files.stat_name(top, TRASH) is not None:
            _lock_in_use(path, opened[TRASH])
        shards = Shards(blobs)
        undo.callback(shards.close)
        if not read_only:
            with suppress(StorageError):  # the write that needs one raises the reason
                shards.complete_all()
        packs = _open_packs(path, top, index, read_only=read_only)
        if packs is not None:
            undo.callback(packs.close)
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
        packs=packs,
        appender=None if read_only else _make_appender(packs, index, options),
    )


def _make_missing(path: str, root: Directory, index: Index) -> None:
    missing = [name for name in DIRECTORIES if files.stat_name(root, name) is None]
    if missing:
        from contentdb.local.directories import make_missing  # a tool that copies left them out

        make_missing(path, root, index, missing)


def _open_packs(
    path: str, root: Directory, index: Index, *, read_only: bool
) -> PackDirectory | None:
    below = index.pack_below()
    if not below:
        return None
    from contentdb.local.directories import open_packs  # few stores have packs

    return open_packs(path, root, index, below, read_only=read_only)


def _make_appender(packs: PackDirectory | None, index: Index, options: Options) -> Appender | None:
    if packs is None:
        return None
    from contentdb.local.packs.append import Appender  # as above

    return Appender(packs, index, options.namespace, durable=options.durable)


def _open_child(root: Directory, name: str, *, read_only: bool) -> Directory:
    """Open a directory of the layout.

    Copies of a store may lack empty directories. With ``read_only`` the root is opened in place of
    a missing one; it has no file with the name of an ingest.
    """
    if read_only and name != BLOBS and files.stat_name(root, name) is None:
        return files.open_directory(".", within=root)
    return files.open_directory(name, within=root)


def _lock_in_use(path: str, trash: Directory) -> None:
    """Lock ``trash/`` until it is closed, which shows `reindex` that the store is in use."""
    if not files.lock_shared(trash.fd, trash.path):
        raise StoreError(path, "its index is being rebuilt; try again when that is done")


def _check_one_filesystem(path: str, directories: list[Directory]) -> None:
    """Raise unless all are on one filesystem: links and renames are atomic only within one."""
    if len({files.stat_open(directory.fd, directory.path).st_dev for directory in directories}) > 1:
        raise UnsupportedFilesystemError(
            path, f"{', '.join(DIRECTORIES)} must be on one filesystem with their root"
        )
