"""Remove what was abandoned: ingests without a writer, files without a row, leftovers."""

from __future__ import annotations

import os
import time
from itertools import chain, islice

from contentdb import files
from contentdb.digest import Digest
from contentdb.engine import Pruned
from contentdb.errors import InvalidDigestError
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local import locks
from contentdb.local.commit.temporary import TEMPORARY, dead_temporaries, remove_temporary
from contentdb.local.damage import look
from contentdb.local.delete import (
    finish_delete,
    let_go_of_references,
    remove_from_trash,
    trash_name,
)
from contentdb.local.upkeep.doubts import may_be_in_flight
from contentdb.local.upkeep.repack import repack
from contentdb.local.upkeep.verify import rows_of_shard

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from contentdb.local.index import IngestRow
    from contentdb.local.resources import Parts

__all__ = ["drop_ingest", "prune", "prune_ingests"]

_NAMES_AT_ONCE: Final = 500
_DEAD_SHARE: Final = 0.5
"""A pack with less dead room costs more to copy than it gives back."""


def prune(parts: Parts, *, older_than_s: float, dry_run: bool) -> Iterator[Pruned]:
    """Remove each thing, then yield it; see `Store.prune`."""
    now_ns = time.time_ns()
    before_ns = now_ns - int(min(older_than_s * 1e9, now_ns))  # nothing is older than the epoch
    yield from prune_ingests(parts, before_ns, dry_run=dry_run)
    yield from _prune_leftovers(parts, before_ns, dry_run=dry_run)
    yield from _prune_orphans(parts, before_ns, dry_run=dry_run)
    if not dry_run:
        for tombstone in parts.index.tombstones():
            let_go_of_references(parts, [tombstone])
            finish_delete(parts, tombstone)
    yield from _prune_trash(parts, before_ns, dry_run=dry_run)
    for _pack, path, size in repack(parts, dead_share=_DEAD_SHARE, dry_run=dry_run):
        yield Pruned("pack", os.path.basename(path), path, size)  # noqa: PTH119 - a path is text here


def drop_ingest(parts: Parts, name: str, ref: str) -> bool | None:
    """Remove an ingest's file, then its row; None if its writer lives, False if there was none.

    The lock is freed before the row is removed: a writer that begins the ref meanwhile makes a new
    file, and keeps its row by its own token. An ingest without an offset may come back after a
    power cut, and is removed again.
    """
    fd = locks.acquire(parts.ingest, name)
    if fd is None:
        return None
    try:
        row = parts.index.ingest(ref)
        files.unlink(parts.ingest, name)
    finally:
        locks.release(fd)
    if row is None:
        return False
    # A writer that began the ref meanwhile has the row; the ingest itself has been removed.
    return parts.index.end(ref, row.token) or parts.index.ingest(ref) is not None


def prune_ingests(parts: Parts, before_ns: int, *, dry_run: bool) -> Iterator[Pruned]:
    """Remove ingests that no writer holds, and no lease, if they have not changed since a time."""
    for row in parts.index.ingests():
        updated_ns, size = _look_at(parts, row)
        if updated_ns > before_ns or locks.is_held(parts.ingest, row.name):
            continue
        if parts.index.is_leased("ingest", row.ref):
            continue
        if dry_run or drop_ingest(parts, row.name, row.ref):
            yield Pruned("ingest", row.ref, parts.ingest.child(row.name), size)


def _look_at(parts: Parts, row: IngestRow) -> tuple[int, int]:
    """Return when an ingest last changed, in ns, and its size: a killed writer's bytes count."""
    found = files.stat_name(parts.ingest, row.name)
    if found is None:
        return row.updated_ns, 0
    return max(row.updated_ns, min(found.st_mtime_ns, time.time_ns())), found.st_size


def _prune_leftovers(parts: Parts, before_ns: int, *, dry_run: bool) -> Iterator[Pruned]:
    """Remove files of dead groups, and files that belong to no ingest."""
    dead = sorted(dead_temporaries(parts), reverse=True)  # so that a group's lock is removed last
    for name in chain(dead, _find_strange(parts)):
        found = files.stat_name(parts.ingest, name)
        if (
            found is None
            or found.st_mtime_ns > before_ns
            or not files.is_private_file(found, parts.ingest)
        ):
            continue
        remove = remove_temporary if name.startswith(TEMPORARY) else _remove_unheld
        if dry_run or remove(parts, name):
            yield Pruned("leftover", name, parts.ingest.child(name), found.st_size)


def _find_strange(parts: Parts) -> Iterator[str]:
    """Yield names in ``ingest/`` that no ingest has; some hundred are looked up at a time."""
    entries = files.entries(parts.ingest)
    names = (entry.name for entry in entries if not entry.name.startswith(TEMPORARY))
    while some := list(islice(names, _NAMES_AT_ONCE)):
        known = parts.index.find_ingests_named([name for name in some if name.isascii()])
        yield from (name for name in some if name not in known)


def _remove_unheld(parts: Parts, name: str) -> bool:
    """Remove a file in ``ingest/`` unless a writer is about to give it a row."""
    fd = locks.acquire(parts.ingest, name)
    if fd is None:
        return False
    try:
        known = name.isascii() and parts.index.ingest_of(name)  # ours are hexadecimal
        return not known and files.unlink(parts.ingest, name)
    finally:
        locks.release(fd)


def _prune_orphans(parts: Parts, before_ns: int, *, dry_run: bool) -> Iterator[Pruned]:
    for algorithm, shard, children in parts.shards.listing():
        rows = rows_of_shard(parts, algorithm, shard.path[-2:])
        for name, found in children:
            try:
                digest = Digest(f"{algorithm}:{name}")
            except InvalidDigestError:
                continue
            if digest in rows or found.st_ctime_ns > before_ns or parts.index.claims(digest):
                continue
            if may_be_in_flight(parts, digest, found):
                continue
            if dry_run or _to_trash(parts, digest, found):
                yield Pruned("orphan", digest, shard.child(name), found.st_size)


def _to_trash(parts: Parts, digest: Digest, found: os.stat_result) -> bool:
    name = trash_name(digest)

    def take_away() -> bool:
        """Move the file, unless another has replaced it, whose commit was not looked for."""
        now = look(parts, digest)
        is_same = now is not None and os.path.samestat(now, found)
        return is_same and parts.shards.move(digest, parts.trash, name)

    try:
        moved = parts.index.unless_claimed(digest, take_away)
        remove_from_trash(parts, [name])
    except BaseException:
        remove_from_trash(parts, [name])
        raise
    return moved


def _prune_trash(parts: Parts, before_ns: int, *, dry_run: bool) -> Iterator[Pruned]:
    for entry in files.entries(parts.trash):
        found = files.stat_name(parts.trash, entry.name)
        if (
            found is None
            or found.st_ctime_ns > before_ns
            or not files.is_private_file(found, parts.trash)
        ):
            continue
        if dry_run or files.unlink(parts.trash, entry.name):
            yield Pruned("trash", entry.name, parts.trash.child(entry.name), found.st_size)
