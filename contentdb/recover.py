"""What a store does by itself about calls that were cut off: the cheap part of recovery.

Nothing here is needed for correctness: a deletion that was begun is not listed, and what lies in
the trash or belongs to a dead process is seen by nobody.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from contentdb import files, locks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentdb.digest import Digest
    from contentdb.parts import Parts

__all__ = [
    "TEMPORARY",
    "dead_temporaries",
    "empty_trash",
    "finish_delete",
    "recover",
    "remove_temporary",
    "trash_name",
]

TEMPORARY: Final = "."
"""How the names of temporary files in ``ingest/`` begin; their group's lock follows it."""

_TOKEN_CHARS: Final = 32


def recover(parts: Parts) -> None:
    """Finish deletions, empty the trash, remove the temporary files of dead processes."""
    for digest in parts.index.tombstones():
        finish_delete(parts, digest)
    for name in dead_temporaries(parts):
        remove_temporary(parts, name)
    empty_trash(parts)


def finish_delete(parts: Parts, digest: Digest) -> None:
    """Take the file of a tombstone away, and then its row; a blob stored again meanwhile stays.

    The row goes without a sync: if a power cut brings it back, it is a tombstone again. The
    file's name is off the disk before this returns.
    """
    name = trash_name(digest)
    moved = parts.index.bury(digest, lambda: parts.shards.move(digest, parts.trash, name))
    if moved and parts.durable and parts.shards.has(digest.algorithm):
        shard = parts.shards.shard(digest)
        try:
            files.sync_directory(shard)
        finally:
            shard.close()
    files.unlink(parts.trash, name)


def trash_name(digest: Digest) -> str:
    """Where to rename a file to that goes: a name that nothing else has.

    Were it the file's own by another link, rename(2) would do nothing and leave the old name.
    """
    return f"{digest.replace(':', '-')}.{os.urandom(8).hex()}"


def dead_temporaries(parts: Parts) -> Iterator[str]:
    """Names in ``ingest/`` that no live process has any use for."""
    alive: dict[str, bool] = {}
    for entry in files.entries(parts.ingest):
        if entry.name.startswith(TEMPORARY):
            lock = entry.name[: 1 + _TOKEN_CHARS]
            if lock not in alive:
                alive[lock] = locks.is_held(parts.ingest, lock)
            if not alive[lock]:
                yield entry.name


def remove_temporary(parts: Parts, name: str) -> bool:
    """Remove one of `dead_temporaries`, unless its process only seemed dead: it had begun."""
    if not locks.remove_dead(parts.ingest, name[: 1 + _TOKEN_CHARS]):
        return False
    files.unlink(parts.ingest, name)
    return True


def empty_trash(parts: Parts) -> None:
    """Remove what is on its way out."""
    for entry in files.entries(parts.trash):
        if entry.is_dir(follow_symlinks=False):
            continue
        files.unlink(parts.trash, entry.name)
