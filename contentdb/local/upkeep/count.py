"""Count the blobs of a store whose index cannot be read: what `reindex` would find."""

from __future__ import annotations

from contextlib import closing, suppress
from typing import TYPE_CHECKING

from contentdb import files
from contentdb.digest import Digest
from contentdb.errors import InvalidDigestError
from contentdb.local.blobs import Shards
from contentdb.local.create import open_root
from contentdb.local.damage import why_damaged
from contentdb.local.layout import BLOBS, PACKS
from contentdb.local.packs.directory import PackDirectory
from contentdb.local.packs.record import LIVE, MOVED
from contentdb.local.packs.replay import lives_deleted
from contentdb.local.packs.scan import scan

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["count_all"]


def count_all(path: Path) -> dict[str, int]:
    """Count the files of a store whose index cannot be read."""
    directory = open_root(path, create=False)
    try:
        shards = Shards(files.open_directory(BLOBS, within=directory))
    finally:
        directory.close()
    counts = {"adopted": _count_records(path), "quarantined": 0}
    with closing(shards):
        for algorithm, _shard, children in shards.listing():
            for name, _found in children:
                with suppress(InvalidDigestError):
                    damaged = why_damaged(shards, Digest(f"{algorithm}:{name}"))
                    counts["adopted" if damaged is None else "quarantined"] += 1
    return counts


def _count_records(path: Path) -> int:
    """Count the live records of all packs, each content once."""
    directory = open_root(path, create=False)
    try:
        if files.stat_name(directory, PACKS) is None:
            return 0
        packs = PackDirectory(files.open_directory(PACKS, within=directory), 0)
    finally:
        directory.close()
    with closing(packs):
        found, deleted = set(), lives_deleted(packs)
        for pack in packs.names():
            fd = packs.open(pack)
            records = () if fd is None else scan(fd, packs.path(pack), rescue=True)
            heads = [one.header for one in records if one.header.state in {LIVE, MOVED}]
            found |= {header.digest for header in heads if header.life not in deleted}
        return len(found)
