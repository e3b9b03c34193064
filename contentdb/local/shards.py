"""The directories of committed files: one for each algorithm, with 256 shards."""

from __future__ import annotations

import errno

from contentdb import files
from contentdb.digest import ALGORITHMS
from contentdb.errors import StorageError
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local import layout

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from typing import Final

    from contentdb.files import Directory

__all__ = ["PLANTED", "ShardDirectories"]

_LINKS_OF_WHOLE: Final = len(layout.SHARDS) + 2
PLANTED: Final = {errno.ELOOP, errno.ENOTDIR, errno.ENXIO}
"""Errors that say that something else has the name; others, such as too many open files, do not."""


class ShardDirectories:
    """The directories below ``blobs/``, opened as they are needed."""

    def __init__(self, blobs: Directory) -> None:
        self._blobs = blobs
        self._algorithms: dict[str, Directory] = {}

    def close(self) -> None:
        """Free all descriptors."""
        while self._algorithms:
            self._algorithms.popitem()[1].close()
        self._blobs.close()

    # -- directories -------------------------------------------------------------------------

    def prepare(self, algorithm: str) -> None:
        """Make all shards of an algorithm, durably, or none: they appear by one rename."""
        hidden = f".{algorithm}"
        files.make_directory(self._blobs, hidden)
        made = files.open_directory(hidden, within=self._blobs)
        try:
            for name in layout.SHARDS:
                files.make_directory(made, name)
            files.sync_directory(made)
        finally:
            made.close()
        files.rename(self._blobs, hidden, self._blobs, algorithm)
        files.sync_directory(self._blobs)

    def make(self, algorithm: str) -> None:
        """Make the shards of an algorithm unless they exist, durably; concurrent calls are safe."""
        if not self.has(algorithm):
            self.complete(algorithm)

    def complete(self, algorithm: str) -> None:
        """Make the missing shards of an algorithm, durably; concurrent calls are safe."""
        self._blobs.renew(self._blobs.fd, make=True)
        alone = files.open_directory(".", within=self._blobs)  # a descriptor with its own lock
        try:
            files.lock(alone.fd, alone.path, wait=True)
            if not self.has(algorithm):
                self.prepare(algorithm)
            elif missing := self._find_missing(algorithm):
                within = self._algorithm(algorithm)
                for name in missing:
                    files.make_directory(within, name)
                files.sync_directory(within)
        finally:
            files.unlock(alone.fd)  # the child of a fork may have the descriptor
            alone.close()

    def _find_missing(self, algorithm: str) -> list[str]:
        names = {entry.name for entry in files.entries(self._algorithm(algorithm))}
        return [name for name in layout.SHARDS if name not in names]

    def complete_all(self) -> None:
        """Make the missing shards of each algorithm that was used, as in a copy of a store."""
        for algorithm in ALGORITHMS:
            found = files.stat_name(self._blobs, algorithm)
            # Most filesystems count subdirectories as links; on others this number says nothing.
            if found is None or found.st_nlink == _LINKS_OF_WHOLE:
                continue
            if self._find_missing(algorithm):
                self.complete(algorithm)

    def has(self, algorithm: str) -> bool:
        """Return whether the algorithm's shards have been made."""
        return files.stat_name(self._blobs, algorithm) is not None

    def _algorithm(self, algorithm: str) -> Directory:
        found = self._algorithms.get(algorithm)
        if found is None:
            opened = files.open_directory(algorithm, within=self._blobs)
            found = self._algorithms.setdefault(algorithm, opened)
            if found is not opened:  # another thread was faster
                opened.close()
        return found

    # -- all of them --------------------------------------------------------------------------

    def listing(self) -> Iterator[tuple[str, Directory, list[tuple[str, os.stat_result]]]]:
        """Yield all shards in digest order: algorithm, open shard, sorted children.

        One shard's names are held in memory at a time.
        """
        for algorithm in sorted(ALGORITHMS):
            if not self.has(algorithm):
                continue
            for name in layout.SHARDS:
                try:
                    shard = files.open_directory(name, within=self._algorithm(algorithm))
                except StorageError as error:
                    if error.errno not in {errno.ENOENT, *PLANTED}:
                        raise
                    continue
                try:
                    yield algorithm, shard, sorted(_list_children(shard))
                finally:
                    shard.close()

    def strays(self) -> Iterator[str]:
        """Yield the paths below ``blobs/`` that are no directories of the layout."""
        for entry in files.entries(self._blobs):
            known = entry.name in ALGORITHMS or entry.name.removeprefix(".") in ALGORITHMS
            if not known or not entry.is_dir(follow_symlinks=False):
                yield self._blobs.child(entry.name)
            elif entry.name in ALGORITHMS:
                yield from _find_stray_shards(self._algorithm(entry.name))


def _list_children(shard: Directory) -> Iterator[tuple[str, os.stat_result]]:
    for entry in files.entries(shard):
        found = files.stat_name(shard, entry.name)
        if found is not None:
            yield entry.name, found


def _find_stray_shards(algorithm: Directory) -> Iterator[str]:
    for entry in files.entries(algorithm):
        if entry.name not in layout.SHARDS or not entry.is_dir(follow_symlinks=False):
            yield algorithm.child(entry.name)
