"""A delete, by the steps D1 to D3 of docs/design.md."""

from __future__ import annotations

import os

from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.packed import mark_deleted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Final

    from contentdb.digest import Digest
    from contentdb.local.index import Tombstone
    from contentdb.local.resources import Parts

__all__ = [
    "GROUP_COUNT",
    "finish_delete",
    "let_go_of_references",
    "remove_from_trash",
    "trash_name",
]

GROUP_COUNT: Final = 500
"""How many deletes share a transaction: that many renames are made under the write lock."""


def let_go_of_references(
    parts: Parts, tombstones: Sequence[Tombstone], rest: Callable[[], object] = lambda: None
) -> None:
    """Queue what tombstones of a collection refer to, in slices, so that they may be buried.

    ``rest`` is called before each slice.
    """
    referring = parts.index.find_referring(tombstones)
    is_over = not referring
    while not is_over:
        rest()
        is_over = parts.index.let_go_of_references(referring)


def finish_delete(
    parts: Parts,
    *tombstones: Tombstone,
    at_once: int = GROUP_COUNT,
    rest: Callable[[], object] = lambda: None,
) -> None:
    """Remove the files of tombstones, then their rows; keep what is stored again meanwhile.

    The rows are removed without a sync: if a power cut brings one back, it is a tombstone again.
    The files' names are off the disk when this returns. One transaction is for ``at_once``
    tombstones; ``rest`` is called before each.
    """
    names = {one.digest: trash_name(one.digest) for one in tombstones}
    packed = {one.digest: one.location for one in tombstones if one.location is not None}

    without_file = set()

    def take_away(digest: Digest) -> None:
        if not parts.shards.move(digest, parts.trash, names[digest]) and digest in packed:
            without_file.add(digest)

    if packed:
        mark_deleted(parts, packed)  # before the rows go: then nothing would lead to the records
    try:
        rest()
        buried = parts.index.bury_all(tombstones[:at_once], take_away)
        for start in range(at_once, len(tombstones), at_once):
            rest()
            buried += parts.index.bury_all(tombstones[start : start + at_once], take_away)
        if parts.durable:
            parts.shards.sync_names(digest for digest in buried if digest not in without_file)
        remove_from_trash(parts, names.values())
    except BaseException:  # a file in the trash is never moved back
        remove_from_trash(parts, names.values())
        raise


def remove_from_trash(parts: Parts, names: Iterable[str]) -> None:
    """Remove files by their names in ``trash/``; some may be gone already."""
    from contentdb.local.removals import remove_names  # a process that only stores needs none

    remove_names(parts.trash, names)


def trash_name(digest: Digest) -> str:
    """Return the name that a deleted file gets in ``trash/``, which no other file has.

    If it were another link to the same file, rename(2) would do nothing and leave the old name.
    """
    return f"{digest.replace(':', '-')}.{os.urandom(8).hex()}"
