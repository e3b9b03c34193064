"""The modification time of a blob's file, and what it proves.

If it is the time of update of a live row, the file is as it was when it was known to be whole,
since every write to a file changes its time. If it is `BEING_DELETED_NS`, only the index can tell
whether there is a blob. If it is any other, only the bytes can tell whether the file is whole.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in `contentdb.store_folder`
if TYPE_CHECKING:
    from typing import Final

__all__ = ["BEING_DELETED_NS", "is_time_of"]

_SECOND_NS: Final = 1_000_000_000

BEING_DELETED_NS: Final = 7_777_777 * _SECOND_NS
"""Set before the row becomes a tombstone. In 1970, when nothing was stored; in whole seconds,
which every filesystem keeps."""


def is_time_of(found_ns: int, moment_ns: int) -> bool:
    """Return whether a file that was given ``moment_ns`` may show ``found_ns``.

    ext4 with inodes of 128 bytes keeps whole seconds.
    """
    return found_ns == moment_ns or found_ns == moment_ns - moment_ns % _SECOND_NS
