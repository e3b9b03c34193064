"""Whether more than the default namespace lies over a store's files, known without a system call.

With the default namespace alone, a name in ``blobs/`` is a promise to whoever asks, and reads
need no database. Others see the same files but not the same rows. One byte of a small file
says so to all processes at once: each has it mapped into its memory.
"""

from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING

from contentdb import files
from contentdb.layout import SHARED

if TYPE_CHECKING:
    from contentdb.files import Directory

__all__ = ["Sharing"]


class Sharing:
    """The mapped byte of one store."""

    __slots__ = ("_byte",)

    def __init__(self, root: Directory) -> None:
        """Map it; it is made if it is missing, and then says no until `announce`."""
        fd = files.open_file(root, SHARED, os.O_RDWR | os.O_CREAT)
        try:
            if not os.fstat(fd).st_size:
                files.write_all(fd, b"\0", root.child(SHARED))
                files.sync(fd, root.child(SHARED))
                files.sync_directory(root)
            self._byte = mmap.mmap(fd, 1)
        finally:
            files.let_go(fd)

    @property
    def several(self) -> bool:
        """Whether any process has ever opened another namespace than the default."""
        return self._byte[0] != 0

    def announce(self) -> None:
        """Say so, durably and for ever."""
        if not self.several:
            self._byte[0] = 1
            self._byte.flush()

    def close(self) -> None:
        """Unmap it."""
        self._byte.close()
