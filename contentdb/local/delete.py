"""A delete: D1 to D3 of docs/design.md."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from contentdb import files

if TYPE_CHECKING:
    from collections.abc import Iterable

    from contentdb.digest import Digest
    from contentdb.local.resources import Parts

__all__ = ["GROUP_COUNT", "finish_delete", "remove_from_trash", "trash_name"]

GROUP_COUNT: Final = 500
"""Deletions that share their transactions: so many renames are made under the write lock."""


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
