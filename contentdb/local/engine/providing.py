"""Bytes out. For a blob that is there no database is asked: its name is the promise."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from contentdb import files
from contentdb.digest import Digest
from contentdb.local.damage import read_again
from contentdb.local.engine.opened import Opened
from contentdb.local.file_times import BEING_DELETED_NS
from contentdb.streams import export
from contentdb.streams.reader import BlobReader, read_whole

if TYPE_CHECKING:
    import os

    from contentdb.content import ExportLink

__all__ = ["Providing"]


class Providing(Opened):
    """Plays `contentdb.content.Provider`."""

    def open(self, digest: str, *, verify: bool = True) -> BlobReader:
        """Open a blob for reading, as a seekable binary stream that knows its size.

        Read from the beginning to the end, the bytes are verified as they pass: the read that
        reaches the end raises instead of handing out a bad tail. It goes on reading when the
        blob is deleted or the store closed meanwhile.

        Args:
            digest: Which.
            verify: False saves the hashing, for who reads parts only.

        Raises:
            NotFoundError: There is no such blob.
            CorruptBlobError: Its file is gone, or no file of ours; or later, from a read.
        """
        fd, wanted = self._opened(digest)
        return BlobReader(fd, wanted, self._damaged, verify=verify)

    def read(self, digest: str) -> bytes:
        """All bytes of a blob, verified against its digest.

        Raises:
            NotFoundError: There is no such blob.
            CorruptBlobError: Its bytes do not match; it is served no more until it is healed.
        """
        fd, wanted = self._opened(digest)
        try:
            return read_whole(fd, wanted, self._damaged)
        finally:
            files.let_go(fd)

    def path(self, digest: str) -> Path:
        """The read-only file that holds a blob's bytes, which are not verified here.

        It is the store's: read it, link it, but never write to it. It is gone with a delete.

        Raises:
            NotFoundError: There is no such blob.
            CorruptBlobError: Its file is gone.
            StoreError: The root was moved or replaced since the store was opened.
        """
        wanted = Digest(digest)
        with self._gate:
            self._check_namespace_has(wanted)
            while (found := self._parts.shards.stat(wanted)) is None:
                self._missed(wanted)
            self._check_not_deleted(wanted, found)
            self._parts.place.check()  # the name is looked up by path, not in the open directory
            return Path(self._parts.shards.path(wanted))

    def export(
        self, digest: str, path: str | os.PathLike[str], *, link: ExportLink = "reflink"
    ) -> Path:
        """Write a blob to a path of the caller's, verified, whole or not at all; gives the path.

        Of what is there, only a regular file of this process's user is replaced, never a link or a
        device, and nothing is written into a store. Not synced.

        Args:
            digest: Which.
            path: Where to.
            link: ``reflink`` shares the blocks until either side changes, ``hardlink`` shares the
                read-only file itself; both become a copy where the filesystem cannot.

        Raises:
            NotFoundError, CorruptBlobError: As `read`.
            StorageError: The target cannot be written, or is not to be replaced.
        """
        target = export.target_path(path)
        fd, wanted = self._opened(digest)
        return export.export(fd, wanted, target, link, self._damaged)

    def _opened(self, text: str) -> tuple[int, Digest]:
        digest = Digest(text)
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
        return fd, digest

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
