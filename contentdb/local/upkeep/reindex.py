"""Rebuild the index from the files, which are the truth, of a whole store or a broken one."""

from __future__ import annotations

import time
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from contentdb import files, forks
from contentdb.digest import Digest
from contentdb.errors import (
    IndexDamagedError,
    InvalidDigestError,
    NotAStoreError,
    StoreError,
)
from contentdb.local.create import check_no_other, make_directories, make_index, open_root
from contentdb.local.damage import quarantine, why_damaged
from contentdb.local.index import State
from contentdb.local.index.connect import not_forking
from contentdb.local.index.salvage import check_integrity, fold, salvage
from contentdb.local.layout import (
    BLOBS,
    INDEX,
    INDEX_REBUILT,
    PACKS,
    QUARANTINE,
    TRASH,
    check_root,
    root_path,
)
from contentdb.local.open import open_parts, open_tree
from contentdb.local.packed import has_record
from contentdb.local.packs.directory import FIRST, below_of
from contentdb.local.packs.replay import lives_deleted, replay
from contentdb.local.resources import Options
from contentdb.local.shared_flags import Sharing
from contentdb.local.upkeep.count import count_all
from contentdb.local.upkeep.doubts import POLL_S, Doubts
from contentdb.local.upkeep.repair import adopt
from contentdb.local.upkeep.verify import rows_of_shard, shards_with_rows

if TYPE_CHECKING:
    import os

    from contentdb.files import Directory
    from contentdb.local.resources import Parts
    from contentdb.local.upkeep.verify import Rows

__all__ = ["Reindexed", "reindex", "reindex_parts"]

_NEW: Final = INDEX_REBUILT
_WHOLE: Final = f"{INDEX}.whole"
"""A new index that is complete but for its name."""

_COMPANY: Final = ("-wal", "-shm", "-journal", "")
"""Files of a database, itself last: SQLite would take the others for a new database's own."""


class Reindexed(NamedTuple):
    """How many blobs were kept, adopted, dropped or quarantined."""

    kept: int
    """Row and file were both there."""
    adopted: int
    """A file got its row."""
    dropped: int
    """A row was removed: its file is gone."""
    quarantined: int
    """A file without a row did not match its name."""


def reindex(root: str | os.PathLike[str], *, dry_run: bool = False) -> Reindexed:
    """Bring a store's index in line with its files; rebuild one that cannot be read.

    A new index takes over the labels, times and ingests that can be read from the old one; no
    other process may use the store meanwhile. The old one is kept in ``quarantine/``. Durable when
    it returns; may be repeated, and goes on where it was interrupted.

    Args:
        root: The store's directory.
        dry_run: Only count what would be done; if the index must be rebuilt, nothing counts as
            kept.

    Raises:
        StoreError: There is no store, or it is in use while its index must be replaced.
    """
    forks.check()
    with not_forking:
        return _reindex(Path(root_path(root)), dry_run=dry_run)


def _reindex(path: Path, *, dry_run: bool) -> Reindexed:
    try:
        _check_index(path)
        parts = open_parts(path, Options(), create=False)
    except (IndexDamagedError, _NoIndexError):
        return _count(path) if dry_run else _rebuild(path)
    with closing(parts):
        return reindex_parts(parts, dry_run=dry_run)


def _count(path: Path) -> Reindexed:
    return Reindexed(kept=0, dropped=0, **count_all(path))


class _NoIndexError(Exception):
    """The store has a ``blobs/`` directory and no index."""


def _check_index(path: Path) -> None:
    directory = open_root(path, create=False)
    try:
        _end_replacing(directory)
        found = files.stat_name(directory, INDEX)
        if found is None or not found.st_size:
            if files.stat_name(directory, BLOBS) is None:
                raise NotAStoreError(str(path), "it has no blobs, so it is no store")
            raise _NoIndexError
        if not files.is_private_file(found, directory):
            raise NotAStoreError(
                str(path), f"its {INDEX} is not a regular file of the store's owner"
            )
    finally:
        directory.close()
    check_integrity(path / INDEX)


def reindex_parts(parts: Parts, *, dry_run: bool = False) -> Reindexed:
    """Bring the index in line with all shards; see `Store.reindex`."""
    counts = dict.fromkeys(Reindexed._fields, 0)
    if not dry_run:
        _find_moved_records(parts)
    doubts = Doubts(parts)
    unseen = set(shards_with_rows(parts))
    for algorithm, shard, children in parts.shards.listing():
        unseen.discard((algorithm, shard.path[-2:]))
        rows = rows_of_shard(parts, algorithm, shard.path[-2:])
        for name, found in children:
            try:
                digest = Digest(f"{algorithm}:{name}")
            except InvalidDigestError:
                continue
            row = rows.pop(digest, None)
            if row is not None and row.state != State.DAMAGED:
                counts["kept"] += 1
            elif files.is_private_file(found, shard) and doubts.is_orphan(digest):
                counts[_take(parts, digest, dry_run=dry_run)] += 1
        _look_at_others(parts, rows, counts, dry_run=dry_run)
    for algorithm, shard_name in unseen:
        rows = rows_of_shard(parts, algorithm, shard_name)
        _look_at_others(parts, rows, counts, dry_run=dry_run)
    for orphan in doubts.settle():
        if orphan is None:
            time.sleep(POLL_S)
        else:
            counts[_take(parts, orphan, dry_run=dry_run)] += 1
    return Reindexed(**counts)


def _find_moved_records(parts: Parts) -> None:
    """Look for records whose packs are gone: an older index does not know of a repack since."""
    packs = parts.packs
    if packs is not None and parts.index.packs() - set(packs.names()):
        _replay_all_anew(parts)


def _look_at_others(parts: Parts, rows: Rows, counts: dict[str, int], *, dry_run: bool) -> None:
    """Count the rows without a file that have a record; drop the others."""
    lost: list[Digest] = []
    for text, row in rows.items():
        digest = Digest(text)
        if has_record(parts, digest, row.location):
            counts["kept"] += 1
        else:
            lost.append(digest)
    counts["dropped"] += _drop(parts, lost, dry_run=dry_run)


def _take(parts: Parts, digest: Digest, *, dry_run: bool) -> str:
    """Adopt a file without a row, or quarantine it if it does not match its name."""
    if dry_run:
        return "adopted" if why_damaged(parts.shards, digest) is None else "quarantined"
    if adopt(parts, digest):
        return "adopted"
    return "quarantined" if quarantine(parts, digest) else "kept"  # it has its row by now


def _drop(parts: Parts, digests: list[Digest], *, dry_run: bool) -> int:
    def is_gone(digest: Digest) -> bool:
        if not parts.shards.is_gone(digest):
            return False
        row = parts.index.blob(digest) if parts.packs is not None else None
        return row is None or not has_record(parts, digest, row.location)

    if dry_run:
        return sum(map(is_gone, digests))
    return parts.index.drop(digests, is_gone) if digests else 0


# -- a new index ------------------------------------------------------------------------------


def _rebuild(path: Path) -> Reindexed:
    """Make a whole index beside the old one, and replace the old one as the last step."""
    check_root(path, _NEW)
    directory = open_root(path, create=False)
    try:
        names = {entry.name for entry in files.entries(directory)}
        check_no_other(path, names, "name the root of a store")
        make_directories(directory)
        alone = files.open_directory(TRASH, within=directory)
        try:
            if not files.lock(alone.fd, alone.path) or not _is_alone(directory):
                raise StoreError(str(path), "it is in use; stop what uses it, then reindex again")
            for name in (_WHOLE, *(_NEW + suffix for suffix in _COMPANY)):
                files.unlink(directory, name)
            below = _find_pack_below(directory) if PACKS in names else 0
            make_index(directory, _NEW, pack_below=below)
            if INDEX in names:
                salvage(path / INDEX, path / _NEW)
            files.unlock(alone.fd)
        finally:
            alone.close()
        with closing(open_tree(str(path), directory, _NEW, Options())) as parts:
            adopted = _replay_all_anew(parts)
            counts = reindex_parts(parts)
            counts = counts._replace(kept=counts.kept - adopted, adopted=counts.adopted + adopted)
        fold(path / _NEW)
        _replace(directory)
    finally:
        directory.close()
    return counts


def _find_pack_below(directory: Directory) -> int:
    packs = files.open_directory(PACKS, within=directory)
    try:
        return below_of(packs)
    finally:
        packs.close()


def _replay_all_anew(parts: Parts) -> int:
    """Make a row of each record of a live blob, where it has none; return how many."""
    packs = parts.packs
    if packs is None:
        return 0
    before = parts.index.usage().blobs
    deleted = lives_deleted(packs)
    for pack in packs.names():
        fd = packs.take(pack)
        if fd is not None:
            try:
                replay(packs, parts.index, pack, fd, start=FIRST, deleted=deleted)
            finally:
                files.let_go(fd)
    return parts.index.usage().blobs - before


def _is_alone(directory: Directory) -> bool:
    """Return whether no store is open whose lock is on a ``trash/`` that was removed since."""
    with closing(Sharing(directory)) as sharing:
        return sharing.is_alone()


def _replace(directory: Directory) -> None:
    files.rename(directory, _NEW, directory, _WHOLE)
    files.sync_directory(directory)
    kept = files.open_directory(QUARANTINE, within=directory)
    try:
        stamp = time.time_ns()
        for suffix in _COMPANY:
            with suppress(FileNotFoundError):
                files.rename(directory, INDEX + suffix, kept, f"{INDEX}{suffix}.{stamp}")
        files.sync_directory(kept)
    finally:
        kept.close()
    files.sync_directory(directory)
    _end_replacing(directory)


def _end_replacing(directory: Directory) -> None:
    """Give a new index its name, if the old one is gone; an earlier call may have ended here."""
    if files.stat_name(directory, INDEX) is None:
        with suppress(FileNotFoundError):
            files.rename(directory, _WHOLE, directory, INDEX)
            files.sync_directory(directory)
