"""What a store does by itself about calls that were cut off: the cheap part of recovery.

Nothing here is needed for correctness: a deletion that was begun is not listed, and what lies in
the trash or belongs to a dead process is seen by nobody.
"""

from __future__ import annotations

import os
from itertools import islice
from typing import TYPE_CHECKING, Final

from contentdb import files, locks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from contentdb.digest import Digest
    from contentdb.parts import Parts

__all__ = [
    "GROUP_COUNT",
    "TEMPORARY",
    "dead_temporaries",
    "empty_trash",
    "finish_delete",
    "recover",
    "remove_from_trash",
    "remove_temporary",
    "trash_name",
]

TEMPORARY: Final = "."
"""How the names of temporary files in ``ingest/`` begin; their group's lock follows it."""

GROUP_COUNT: Final = 500
"""Deletions that share their transactions: so many renames are made under the write lock."""

_TOKEN_CHARS: Final = 32


def recover(parts: Parts) -> None:
    """Finish deletions, empty the trash, remove the temporary files of dead processes."""
    tombstones = iter(parts.index.tombstones())
    while some := list(islice(tombstones, GROUP_COUNT)):
        finish_delete(parts, *some)
    for name in dead_temporaries(parts):
        remove_temporary(parts, name)
    empty_trash(parts)


def finish_delete(parts: Parts, *digests: Digest) -> None:
    """Take the files of tombstones away, and then their rows; what is stored again meanwhile stays.

    The rows go without a sync: if a power cut brings one back, it is a tombstone again. The
    names of the files are off the disk before this returns.
    """
    names = {digest: trash_name(digest) for digest in digests}
    try:
        moved = parts.index.bury_all(
            digests, lambda digest: parts.shards.move(digest, parts.trash, names[digest])
        )
        if parts.durable:
            parts.shards.sync_names(moved)
        remove_from_trash(parts, names.values())
    except BaseException:  # whatever was raised, a tombstone's file comes back no more
        remove_from_trash(parts, names.values())
        raise


def remove_from_trash(parts: Parts, names: Iterable[str]) -> None:
    """Remove files by their names in ``trash/``; those that are gone too."""
    for name in names:
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
