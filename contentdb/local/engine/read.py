"""Bytes out. For a blob that is there no database is asked: its name is the promise."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from contentdb import files
from contentdb.local.damage import read_again
from contentdb.local.engine.lifecycle import Lifecycle
from contentdb.local.file_times import BEING_DELETED_NS
from contentdb.streams import export
from contentdb.streams.reader import BlobReader, read_whole

if TYPE_CHECKING:
    import os

    from contentdb.content import ExportLink
    from contentdb.digest import Digest

__all__ = ["Read"]


class Read(Lifecycle):
    """What an engine does for `contentdb.content.Provider`."""

    def open(self, digest: Digest, *, verify: bool) -> BlobReader:
        """Open a blob's file; it is read on when the blob is deleted or the store closed."""
        return BlobReader(self._opened(digest), digest, self._damaged, verify=verify)

    def read(self, digest: Digest) -> bytes:
        """Return all bytes of a blob, verified; one that is damaged goes to quarantine."""
        fd = self._opened(digest)
        try:
            return read_whole(fd, digest, self._damaged)
        finally:
            files.let_go(fd)

    def path(self, digest: Digest) -> Path:
        """Return the file of a blob, whose bytes are not verified here."""
        with self._gate:
            self._check_namespace_has(digest)
            while (found := self._parts.shards.stat(digest)) is None:
                self._missed(digest)
            self._check_not_deleted(digest, found)
            self._parts.place.check()  # the name is looked up by path, not in the open directory
            return Path(self._parts.shards.path(digest))

    def export(self, digest: Digest, target: Path, link: ExportLink) -> Path:
        """Write a blob to a place of the caller's: as a reflink, a hard link or a copy."""
        return export.export(self._opened(digest), digest, target, link, self._damaged)

    def _opened(self, digest: Digest) -> int:
        with self._gate:
            self._check_namespace_has(digest)
            while (opened := self._parts.shards.open_found(digest)) is None:
                self._missed(digest)
            fd, found = opened
            try:
                self._check_not_deleted(digest, found)
            except BaseException:
                files.let_go(fd)
                raise
        return fd

    def _check_not_deleted(self, digest: Digest, found: os.stat_result) -> None:
        """Ask the index where the file's time says that a deletion was begun.

        One that was not recorded has left that time behind: the file's bytes say whether it may
        have its row's again.
        """
        if found.st_mtime_ns == BEING_DELETED_NS:
            self._row(digest)
            read_again(self._parts, digest)

    def _check_namespace_has(self, digest: Digest) -> None:
        """With several namespaces over the files, a name is no promise to all of them."""
        parts = self._parts
        if parts.sharing.several:
            self._row(digest)
