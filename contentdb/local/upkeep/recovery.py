"""The cheap part of recovery from interrupted calls, which each opening of a store does.

Nothing here is needed for correctness: a blob whose delete was begun is not listed, and no call
reads files in the trash or of a dead process.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from contentdb import files
from contentdb.local.commit.temporary import dead_temporaries, remove_temporary
from contentdb.local.delete import GROUP_COUNT, finish_delete

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
        finish_delete(parts, *some)
    for name in dead_temporaries(parts):
        remove_temporary(parts, name)
    empty_trash(parts)


def empty_trash(parts: Parts) -> None:
    """Remove the files in the trash."""
    for entry in files.entries(parts.trash):
        if entry.is_dir(follow_symlinks=False):
            continue
        files.unlink(parts.trash, entry.name)
