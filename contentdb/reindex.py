"""The index made anew from the files, which are the truth: of a whole store, or of a broken one."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from contentdb import files
from contentdb.digest import Digest
from contentdb.errors import (
    ContentDBError,
    IndexDamagedError,
    InvalidDigestError,
    NotAStoreError,
    StoreError,
)
from contentdb.index.connection import connect
from contentdb.layout import BLOBS, DEFAULT_NAMESPACE, INDEX, QUARANTINE, TRASH
from contentdb.opening import (
    ALLOWED_BESIDE,
    make_directories,
    make_index,
    open_parts,
    open_root,
    open_tree,
)
from contentdb.repair import adopt
from contentdb.verify import rows_of_shard, shards_with_rows

if TYPE_CHECKING:
    from contentdb.files import Directory
    from contentdb.parts import Parts

__all__ = ["Reindexed", "reindex", "reindex_parts"]

_NEW: Final = f"{INDEX}.new"


class Reindexed(NamedTuple):
    """How many blobs had which fate."""

    kept: int
    """Row and file were both there."""
    adopted: int
    """A file got its row."""
    dropped: int
    """A row went: its file is gone."""
    quarantined: int
    """A file without a row did not match its name."""


def reindex(root: str | os.PathLike[str]) -> Reindexed:
    """Bring a store's index in line with its files; one that cannot be read is made anew.

    A new index takes over what the old one still says of labels, times and ingests; nobody may
    use the store meanwhile. The old one is kept in ``quarantine/``. Durable when it returns;
    may be repeated, and goes on where it was cut off.

    Raises:
        StoreError: There is no store, or it is in use while its index must be replaced.
    """
    path = Path(os.path.realpath(root))
    try:
        _check_index(path)
        parts = open_parts(path, create=False, namespace=DEFAULT_NAMESPACE, durable=True)
    except (IndexDamagedError, _NoIndexError):
        return _rebuild(path)
    with closing(parts):
        return reindex_parts(parts)


class _NoIndexError(Exception):
    """The store has blobs, or room for them, and no index."""


def _check_index(path: Path) -> None:
    directory = open_root(path, create=False)
    try:
        found = files.stat_name(directory, INDEX)
        if found is None or not found.st_size:
            if files.stat_name(directory, BLOBS) is None:
                raise NotAStoreError(str(path), "it has no blobs, so it is no store")
            raise _NoIndexError
        if not files.is_private_file(found):
            raise NotAStoreError(str(path), f"its {INDEX} is not a regular file of this user")
    finally:
        directory.close()
    try:
        with closing(connect(str(path / INDEX), query_only=True)) as connection:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except (sqlite3.DatabaseError, ContentDBError) as error:
        raise IndexDamagedError(str(path / INDEX), str(error)) from error
    if verdict != "ok":
        raise IndexDamagedError(str(path / INDEX), verdict)


def reindex_parts(parts: Parts) -> Reindexed:
    """Go through all shards; see `Store.reindex`."""
    counts = dict.fromkeys(Reindexed._fields, 0)
    unseen = set(shards_with_rows(parts))
    for algorithm, shard, children in parts.shards.listing():
        unseen.discard((algorithm, shard.path[-2:]))
        rows = rows_of_shard(parts, algorithm, shard.path[-2:])
        for name, found in children:
            try:
                digest = Digest(f"{algorithm}:{name}")
            except InvalidDigestError:
                continue
            if rows.pop(digest, None) is not None:
                counts["kept"] += 1
            elif files.is_private_file(found) and not parts.index.claims(digest):
                counts["adopted" if adopt(parts, digest) else "quarantined"] += 1
        counts["dropped"] += _drop(parts, [Digest(text) for text in rows])
    for algorithm, shard_name in unseen:
        rows = rows_of_shard(parts, algorithm, shard_name)
        counts["dropped"] += _drop(parts, [Digest(text) for text in rows])
    return Reindexed(**counts)


def _drop(parts: Parts, digests: list[Digest]) -> int:
    if not digests:
        return 0
    return parts.index.drop(digests, lambda digest: parts.shards.size(digest) is None)


# -- a new index ------------------------------------------------------------------------------


def _rebuild(path: Path) -> Reindexed:
    """Make a whole index beside the old one, and put it in its place last of all."""
    directory = open_root(path, create=False)
    try:
        names = {entry.name for entry in files.entries(directory)}
        if foreign := sorted(names - ALLOWED_BESIDE - {_NEW, f"{_NEW}-wal", f"{_NEW}-shm"}):
            raise NotAStoreError(str(path), f"it holds {foreign[0]!r}, so it is something else")
        make_directories(directory)
        alone = files.open_directory(TRASH, within=directory)
        try:
            if not files.lock(alone.fd, alone.path):
                raise StoreError(str(path), "it is in use; stop what uses it, then reindex again")
            for suffix in ("", "-wal", "-shm"):
                files.unlink(directory, _NEW + suffix)
            make_index(directory, _NEW)
            _salvage(path)
            files.unlock(alone.fd)
        finally:
            alone.close()
        with closing(
            open_tree(path, directory, _NEW, namespace=DEFAULT_NAMESPACE, durable=True)
        ) as parts:
            counts = reindex_parts(parts)
        _fold(path / _NEW)
        _replace(directory)
    finally:
        directory.close()
    return counts


def _fold(path: Path) -> None:
    """Leave no WAL: a file that is renamed must be the whole database."""
    with closing(connect(str(path))) as connection:
        connection.execute("PRAGMA journal_mode = DELETE").fetchall()


def _replace(directory: Directory) -> None:
    kept = files.open_directory(QUARANTINE, within=directory)
    try:
        stamp = time.time_ns()
        # The WAL first: beside a new database it would be taken for that one's.
        for suffix in ("-wal", "-shm", ""):
            with suppress(FileNotFoundError):
                files.rename(directory, INDEX + suffix, kept, f"{INDEX}{suffix}.{stamp}")
        files.sync_directory(kept)
    finally:
        kept.close()
    files.sync_directory(directory)
    files.rename(directory, _NEW, directory, INDEX)
    files.sync_directory(directory)


_TABLES: Final = ("blobs", "labels", "ingests")


def _salvage(path: Path) -> None:
    """Copy what can still be read of the old index's rows; damaged pages end a table's copy."""
    if not (path / INDEX).exists():
        return
    with (
        closing(connect(str(path / _NEW))) as new,
        suppress(sqlite3.Error, ContentDBError),
        closing(connect(str(path / INDEX))) as old,
    ):
        for table in _TABLES:
            _copy_rows(old, new, table)


def _copy_rows(old: sqlite3.Connection, new: sqlite3.Connection, table: str) -> None:
    columns = [row[1] for row in new.execute(f"PRAGMA table_info({table})")]
    places = ", ".join("?" * len(columns))
    names = ", ".join(f'"{column}"' for column in columns)
    new.execute("BEGIN IMMEDIATE")
    with suppress(sqlite3.Error):
        for row in old.execute(f"SELECT {names} FROM {table}"):  # noqa: S608 - our own table names
            with suppress(sqlite3.IntegrityError):  # what is damaged may contradict itself
                new.execute(f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({places})", row)  # noqa: S608
    new.execute("COMMIT")
