"""A delete, by the steps D1 to D3 of docs/design.md."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from contentdb import files

if TYPE_CHECKING:
    from collections.abc import Iterable

    from contentdb.digest import Digest
    from contentdb.local.index import Tombstone
    from contentdb.local.resources import Parts

__all__ = ["GROUP_COUNT", "finish_delete", "remove_from_trash", "trash_name"]

GROUP_COUNT: Final = 500
"""How many deletes share a transaction: that many renames are made under the write lock."""


def finish_delete(parts: Parts, *tombstones: Tombstone) -> None:
    """Remove the files of tombstones, then their rows; keep what is stored again meanwhile.

    The rows are removed without a sync: if a power cut brings one back, it is a tombstone again.
    The files' names are off the disk when this returns.
    """
    names = {digest: trash_name(digest) for digest, _ in tombstones}
    try:
        moved = parts.index.bury_all(
            tombstones, lambda digest: parts.shards.move(digest, parts.trash, names[digest])
        )
        if parts.durable:
            parts.shards.sync_names(moved)
        remove_from_trash(parts, names.values())
    except BaseException:  # a file in the trash is never moved back
        remove_from_trash(parts, names.values())
        raise


def remove_from_trash(parts: Parts, names: Iterable[str]) -> None:
    """Remove files by their names in ``trash/``; some may be gone already."""
    for name in names:
        files.unlink(parts.trash, name)


def trash_name(digest: Digest) -> str:
    """Return the name that a deleted file gets in ``trash/``, which no other file has.

    If it were another link to the same file, rename(2) would do nothing and leave the old name.
    """
    return f"{digest.replace(':', '-')}.{os.urandom(8).hex()}"
