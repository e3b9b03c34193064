"""What is known of an ingest: its row, the size of its file, and whether a writer lives."""

from __future__ import annotations

import time

from contentdb import files
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local import locks

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentdb.files import Directory
    from contentdb.local.index import IngestRow
    from contentdb.values import Status

__all__ = ["describe"]


def describe(
    row: IngestRow, within: Directory, find: Callable[[str], IngestRow | None]
) -> Status | None:
    """Return a row's Status; its file tells the offset and whether a writer lives.

    Return None if the ingest ended after its row was read.

    Args:
        row: The row.
        within: The directory of the ingests' files.
        find: Finds the row of a ref as it is now.
    """
    found = files.stat_name(within, row.name)
    offset = 0 if found is None else found.st_size
    if not offset and find(row.ref) is None:
        return None  # it has ended
    updated_ns = row.updated_ns
    if found is not None and offset != row.offset:
        updated_ns = max(updated_ns, min(found.st_mtime_ns, time.time_ns()))
    return row.status(offset, updated_ns, held=locks.is_held(within, row.name))
