"""Whether the paths of an open store still lead to the files that it was opened with.

Directories are held open, while SQLite opens its files by path. Where a root was renamed and
another put in its place, a write would land half in the one and half in the other.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from contentdb.errors import StoreError

if TYPE_CHECKING:
    from contentdb.files import Directory

__all__ = ["Place"]


class Place:
    """Device and inode of what must not be moved or replaced while a store is open."""

    __slots__ = ("_found", "_root")

    def __init__(self, root: str) -> None:
        self._root = root
        self._found: list[tuple[str, int, int, Directory | None]] = []

    def watch(self, path: str, found: os.stat_result, directory: Directory | None = None) -> None:
        """Let a path be looked at from now on, which leads to this.

        A directory that was removed, as an empty one may be, is made again: it has not moved.
        """
        self._found.append((path, found.st_dev, found.st_ino, directory))

    def check(self) -> None:
        """Raise `StoreError` where a path leads elsewhere by now; a stat for each.

        It cannot keep a path from being moved in the very next moment. What is caught is a store
        that is used on, for hours, after its files have gone.
        """
        for path, device, inode, directory in self._found:
            try:
                now = os.lstat(path)
            except OSError as error:
                if directory is not None and directory.may_be(None):
                    continue
                raise self._moved(path) from error
            if now.st_ino == inode and now.st_dev == device:
                continue
            if directory is None or not directory.may_be(now):
                raise self._moved(path)

    def _moved(self, path: str) -> StoreError:
        return StoreError(
            self._root,
            f"{path} was moved or replaced while the store was open; close it and open it again",
        )
