"""Reads of blobs. They ask no database: the file's name promises that it is whole."""

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
    """The engine's part in `contentdb.content.Provider`."""

    def open(self, digest: Digest, *, verify: bool) -> BlobReader:
        """Open a blob's file; it can be read on after the blob is deleted or the store closed."""
        return BlobReader(self._open_file(digest), digest, self._report_damage, verify=verify)

    def read(self, digest: Digest) -> bytes:
        """Return all bytes of a blob, verified; move a damaged blob to quarantine and raise."""
        fd = self._open_file(digest)
        try:
            return read_whole(fd, digest, self._report_damage)
        finally:
            files.let_go(fd)

    def path(self, digest: Digest) -> Path:
        """Return the path of a blob's file; its bytes are not verified."""
        with self._gate:
            self._check_namespace_has(digest)
            while (found := self._parts.shards.stat(digest)) is None:
                self._check_missing(digest)
            self._check_not_deleted(digest, found)
            self._parts.place.check()  # the name is looked up by path, not in the open directory
            return Path(self._parts.shards.path(digest))

    def export(self, digest: Digest, target: Path, link: ExportLink) -> Path:
        """Write a blob to a path of the caller, as a reflink, a hard link or a copy."""
        return export.export(self._open_file(digest), digest, target, link, self._report_damage)

    def _open_file(self, digest: Digest) -> int:
        with self._gate:
            self._check_namespace_has(digest)
            while (opened := self._parts.shards.open_found(digest)) is None:
                self._check_missing(digest)
            fd, found = opened
            try:
                self._check_not_deleted(digest, found)
            except BaseException:
                files.let_go(fd)
                raise
        return fd

    def _check_not_deleted(self, digest: Digest, found: os.stat_result) -> None:
        """Ask the index if the file's time says that a delete has begun.

        A delete that was not recorded leaves that time behind: the file is read, and gets the
        time of its row again if it is whole.
        """
        if found.st_mtime_ns == BEING_DELETED_NS:
            self._find_row(digest)
            read_again(self._parts, digest)

    def _check_namespace_has(self, digest: Digest) -> None:
        """Raise if the file may belong to other namespaces only."""
        parts = self._parts
        if parts.sharing.several:
            self._find_row(digest)
