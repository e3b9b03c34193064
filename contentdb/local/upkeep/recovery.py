"""The cheap part of recovery from interrupted calls, which each opening of a store does.

Nothing here is needed for correctness: a blob whose delete was begun is not listed, and no call
reads files in the trash or of a dead process.
"""

from __future__ import annotations

from itertools import islice

from contentdb import files
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.commit.temporary import dead_temporaries, remove_temporary
from contentdb.local.delete import GROUP_COUNT, finish_delete, let_go_of_references
from contentdb.local.reservation import give_back_dead

if TYPE_CHECKING:
    from contentdb.local.resources import Parts

__all__ = [
    "empty_trash",
    "recover",
]


def recover(parts: Parts) -> None:
    """Finish deletions, empty the trash, remove the temporary files of dead processes."""
    tombstones = iter(parts.index.tombstones())
    while some := list(islice(tombstones, GROUP_COUNT)):
        let_go_of_references(parts, some)
        finish_delete(parts, *some)
    for name in dead_temporaries(parts):
        remove_temporary(parts, name)
    if parts.sharing.bounded:
        give_back_dead(parts)
    empty_trash(parts)


def empty_trash(parts: Parts) -> None:
    """Remove the files in the trash."""
    for entry in files.entries(parts.trash):
        if entry.is_dir(follow_symlinks=False):
            continue
        files.unlink(parts.trash, entry.name)
