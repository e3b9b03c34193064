"""Make a store: what is refused, and in which order its parts are made.

The index comes last: a directory whose index has its schema is a whole store, and a creation
that was interrupted before that goes on when the store is opened again.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from contentdb import files
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
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.blobs import Shards
from contentdb.local.index import revision
from contentdb.local.layout import BLOBS, DIRECTORIES, INDEX, INDEX_REBUILT, PACKS, check_root

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Final

    from contentdb.files import Directory

__all__ = [
    "MAKING_S",
    "MISSING",
    "check_no_other",
    "has_index_file",
    "make",
    "make_directories",
    "make_index",
    "make_packs",
    "open_root",
]

MAKING_S: Final = 60.0
"""Seconds to wait for another process that is making the same store."""

_FOR_A_GROUP: Final = 0o2070
_OF_A_STORE: Final = {*DIRECTORIES, PACKS, "lost+found"}

MISSING: Final = "there is no store here; make one with `contentdb init`, or open(create=True)"


def open_root(root: str | Path, *, create: bool) -> Directory:
    """Open the root; with ``create``, make it and what is missing above it."""
    path = str(root)
    try:
        is_folder = stat.S_ISDIR(os.stat(path).st_mode)  # noqa: PTH116 - pathlib is slow to import
        is_there = True
    except OSError as error:
        if error.errno not in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}:
            raise StorageError.of("stat", path, error) from error
        is_there = is_folder = False
    check_root(path, INDEX if is_there else INDEX_REBUILT)
    if is_there and not is_folder:
        raise NotAStoreError(path, "it is a file, not a directory; name another root")
    if not is_there:
        if not create:
            raise StoreNotFoundError(path, MISSING)
        try:
            _make_with_parents(path)
        except OSError as error:
            raise StorageError.of("make directory", path, error) from error
    directory = files.open_directory(path)
    directory.group = _group_of(files.stat_open(directory.fd, directory.path))
    return directory


def _group_of(found: os.stat_result) -> int | None:
    """Return the group that a root is for: it may write there, and new files there are its own."""
    return found.st_gid if found.st_mode & _FOR_A_GROUP == _FOR_A_GROUP else None


def _make_with_parents(root: str) -> None:
    """Make a root and what is missing above it, and put the names above it on disk."""
    missing = []
    above = os.path.dirname(root)  # noqa: PTH120 - pathlib is slow to import
    while not os.path.exists(above):  # noqa: PTH110 - as above
        missing.append(above)
        above = os.path.dirname(above)  # noqa: PTH120 - as above
    for parent in reversed(missing):
        with suppress(FileExistsError):
            os.mkdir(parent)  # noqa: PTH102 - as above
        _sync_parent(parent)
    with suppress(FileExistsError):
        os.mkdir(root, mode=0o700)  # noqa: PTH102 - as above


def make(
    directory: Directory,
    path: str,
    *,
    create: bool,
    for_group: bool = False,
    pack_below: int = 0,
) -> None:
    """Make what is missing, under a lock; do nothing if another process has made it meanwhile.

    The lock also covers the check for a store: another process may be half-way through making it.
    """
    if not files.lock(directory.fd, path, wait=MAKING_S):
        raise IndexBusyError(f"{path}/{INDEX}", "another process is making the store; try again")
    try:
        if _has_index(directory, path):
            return
        _check_empty(directory, path, create=create)
        if not create:
            raise StoreNotFoundError(path, MISSING)
        check_root(path, INDEX_REBUILT)
        from contentdb.local.mounts import is_network, kind_of  # most commands find a store

        if is_network(kind := kind_of(path)):
            raise UnsupportedFilesystemError(
                path,
                f"it is on {kind}, whose locks and syncs cannot be trusted; use a local disk",
            )
        begun = directory.group is not None and files.stat_name(directory, BLOBS) is not None
        _set_access(directory, path, for_group=for_group or begun)
        make_directories(directory, pack_below=pack_below)
        make_index(directory, INDEX, pack_below=pack_below)
        files.sync_directory(directory)
        _sync_parent(path)
    finally:
        files.unlock(directory.fd)


def _set_access(directory: Directory, path: str, *, for_group: bool) -> None:
    """Let only its owner use a new root, or its group too."""
    directory.group = None
    if not for_group:
        files.set_mode(directory.fd, 0o700, path)
        return
    files.set_mode(directory.fd, 0o2770, path)
    found = files.stat_open(directory.fd, directory.path)
    directory.group = _group_of(found)
    if directory.group is None:  # chmod(2) drops the set-group-ID bit without an error
        files.set_mode(directory.fd, 0o700, path)
        raise StoreError(
            path,
            f"its group {found.st_gid} is none of this user's; give it one that is, with chgrp",
        )


def check_no_other(path: str | Path, names: set[str], remedy: str) -> None:
    """Raise `NotAStoreError` if a root holds a name that no store has.

    Names that begin like the index are allowed: its log, its journal, the index that replaces it.
    """
    others = sorted(name for name in names - _OF_A_STORE if not name.startswith(INDEX))
    if others:
        raise NotAStoreError(
            str(path), f"it holds {others[0]!r}, so it is something else; {remedy}"
        )


def _check_empty(directory: Directory, path: str, *, create: bool) -> None:
    """Raise if the root is no place for a new store, or is a store that has lost its index."""
    names = {entry.name for entry in files.entries(directory)}
    if create:
        check_no_other(path, names, "name an empty directory")
    if PACKS in names and _has_packs(directory):
        raise _index_lost(path)
    if BLOBS not in names:
        return
    shards = Shards(files.open_directory(BLOBS, within=directory))
    try:
        if any(children for _algorithm, _shard, children in shards.listing()):
            raise _index_lost(path)
    finally:
        shards.close()


def make_packs(directory: Directory, below: int) -> None:
    """Make ``packs/``, with a note of what goes into it."""
    files.make_directory(directory, PACKS)
    packs = files.open_directory(PACKS, within=directory)
    try:
        from contentdb.local.packs.directory import note_below  # few stores have packs

        note_below(packs, below)
    finally:
        packs.close()


def _has_packs(directory: Directory) -> bool:
    packs = files.open_directory(PACKS, within=directory)
    try:
        return any(entry.name.endswith(".pack") for entry in files.entries(packs))
    finally:
        packs.close()


def _index_lost(path: str) -> IndexDamagedError:
    return IndexDamagedError(
        f"{path}/{INDEX}", "it is missing; `contentdb reindex` rebuilds it from the blobs"
    )


def make_directories(directory: Directory, *, pack_below: int = 0) -> None:
    """Make the directories of the layout that are missing, and put their names on disk."""
    for name in DIRECTORIES:
        files.make_directory(directory, name)
    if pack_below:
        make_packs(directory, pack_below)
    shards = Shards(files.open_directory(BLOBS, within=directory))
    try:
        shards.make(DEFAULT_ALGORITHM)
    finally:
        shards.close()
    files.sync_directory(directory)


def make_index(directory: Directory, name: str, *, pack_below: int = 0) -> None:
    """Make an index file, if it is missing, and its tables."""
    if files.stat_name(directory, name) is None:  # closing SQLite's file drops its locks
        fd = files.open_file(directory, name, os.O_RDWR | os.O_CREAT)
        files.close(fd, directory.child(name))
    from contentdb.local.index.create import create_tables  # most commands find a store

    create_tables(directory.child(name), pack_below=pack_below)


def _sync_parent(path: str) -> None:
    parent = files.open_directory(os.path.dirname(path))  # noqa: PTH120 - as in `open_root`
    try:
        files.sync_directory(parent)
    finally:
        parent.close()


def has_index_file(directory: Directory, path: str) -> bool:
    """Return whether there is an index that is not empty; raise for a link or a foreign file."""
    found = files.stat_name(directory, INDEX)
    if found is not None and not files.is_private_file(found, directory):
        raise NotAStoreError(path, f"its {INDEX} is not a regular file of the store's owner")
    return found is not None and found.st_size > 0


def _has_index(directory: Directory, path: str) -> bool:
    """Return whether there is a finished index that this library can use."""
    if not has_index_file(directory, path):
        return False
    name = revision.revision_of(f"{path}/{INDEX}", path)
    if name is None:
        return False
    revision.check(name, path)
    return True
