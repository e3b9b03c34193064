"""When a blob was last used: the time of access of its file. A use writes nothing to the index.

After the time of modification it tells of a use since a collection last asked, and of when that
was, to an hour. Not after it, there was none. The kernel keeps it so on most mounts, but only to a
day (`relatime`); a store with a cache sets it itself, also where the mount does not (`noatime`).
"""

from __future__ import annotations

import os
import time

from contentdb import files
from contentdb.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Final

__all__ = ["find_use", "forget_use", "is_noted", "note_use"]

_EXACT_NS: Final = 3600 * 10**9


def is_noted(found: os.stat_result) -> bool:
    """Return whether a use that happens now need not be noted."""
    used_ns = found.st_atime_ns
    return used_ns > found.st_mtime_ns and 0 <= time.time_ns() - used_ns < _EXACT_NS


def note_use(fd: int) -> None:
    """Note that an open file is used now.

    A system that refuses, as for the file of another member of a group, is not an error.
    """
    # The system's own UTIME_NOW may lie a tick behind the time of modification.
    files.set_access_time(fd, time.time_ns())


def find_use(found: os.stat_result) -> int:
    """Return until when a file may have been used, in nanoseconds since the epoch; 0 for never.

    Never means: not since `forget_use`, or since it was stored or got labels.
    """
    used_ns = found.st_atime_ns
    if used_ns <= found.st_mtime_ns:
        return 0
    if found.st_uid != os.geteuid() and os.geteuid():  # `forget_use` will be refused
        return used_ns
    return min(used_ns + _EXACT_NS, time.time_ns())


def forget_use(fd: int, found: os.stat_result) -> None:
    """Let the next use of an open file be noted, however soon it comes."""
    files.set_access_time(fd, found.st_mtime_ns)
