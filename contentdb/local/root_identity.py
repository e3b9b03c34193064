"""Check that the paths of an open store still lead to the files that it was opened with.

The store holds its directories open, while SQLite opens its files by path. If a root was renamed
and another put in its place, half of a write would go to the one and half to the other.
"""

from __future__ import annotations

import os

from contentdb.errors import StoreError
from contentdb.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contentdb.files import Directory

__all__ = ["Place"]


class Place:
    """Device and inode of each path that must not be moved or replaced while a store is open."""

    __slots__ = ("_found", "_root")

    def __init__(self, root: str) -> None:
        self._root = root
        self._found: list[tuple[str, int, int, Directory | None]] = []

    def watch(self, path: str, found: os.stat_result, directory: Directory | None = None) -> None:
        """Check a path from now on, which leads to the file that ``found`` describes.

        A ``directory`` that was removed, as an empty one may be, is made again: it has not moved.
        """
        self._found.append((path, found.st_dev, found.st_ino, directory))

    def check(self) -> None:
        """Raise `StoreError` if a path leads elsewhere by now; one stat for each.

        A path may still be moved just after the check. The check finds a store that is used for
        hours after its files were moved.
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
