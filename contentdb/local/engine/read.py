"""Reads of blobs. Those of files ask no database: the name promises that the file is whole."""

from __future__ import annotations

from contentdb import files
from contentdb.errors import ContentDBError, CorruptBlobError
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.damage import read_again
from contentdb.local.engine.lifecycle import LEFT_THERE, Lifecycle
from contentdb.local.file_times import BEING_DELETED_NS
from contentdb.local.last_use import is_noted, note_use
from contentdb.local.packed import lose_record, read_record
from contentdb.logs import swallow

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from contentdb.content import ExportLink
    from contentdb.digest import Digest
    from contentdb.local.index import Blob, Location
    from contentdb.streams.reader import BlobReader

__all__ = ["Read"]


class Read(Lifecycle):
    """The engine's part in `contentdb.content.Provider`."""

    def open(self, digest: Digest, *, verify: bool) -> BlobReader:
        """Open a blob's file; it can be read on after the blob is deleted or the store closed."""
        from contentdb.streams.reader import BlobReader  # few commands read

        found = self._find_bytes(digest)
        fd = files.open_bytes(found, digest) if isinstance(found, bytes) else found
        return BlobReader(fd, digest, self._report_damage, verify=verify)

    def read(self, digest: Digest) -> bytes:
        """Return all bytes of a blob, verified; move a damaged blob to quarantine and raise."""
        found = self._find_bytes(digest)
        if isinstance(found, bytes):
            return found
        from contentdb.streams.reader import read_whole  # as above

        try:
            return read_whole(found, digest, self._report_damage)
        finally:
            files.let_go(found)

    def path(self, digest: Digest) -> Path:
        """Return the path of a blob's file; its bytes are not verified.

        A packed blob gets a file, which stays.
        """
        with self._gate:
            self._check_namespace_has(digest)
            while (found := self._stat_file(digest)) is None:
                self._check_missing(digest)
            self._check_not_deleted(digest, found)
            if self._counts_use(found) and (fd := self._try_open_file(digest)) is not None:
                files.let_go(fd)  # to open it is a use
            self._parts.place.check()  # the name is looked up by path, not in the open directory
            from pathlib import Path  # slow to import

            return Path(self._parts.shards.path(digest))

    def export(self, digest: Digest, target: Path, link: ExportLink) -> Path:
        """Write a blob to a path of the caller, as a reflink, a hard link or a copy.

        A copy may be a backup: it is no use, which would keep the blob in a cache.
        """
        from contentdb.streams import export  # as above

        if link == "hardlink":
            self.path(digest)  # which gives a packed blob a file
            found: int | bytes = self._open_file(digest)
        else:
            found = self._find_bytes(digest, is_use=False)
        fd = files.open_bytes(found, digest) if isinstance(found, bytes) else found
        return export.export(fd, digest, target, link, self._report_damage)

    # -- packed blobs --------------------------------------------------------------------------

    def _find_bytes(self, digest: Digest, *, is_use: bool = True) -> bytes | int:
        """Return the bytes of a packed blob, verified, or an open file of a loose one."""
        if self._parts.packs is None:
            return self._open_file(digest, is_use=is_use)
        with self._gate:
            while True:
                data = self._read_packed(digest)
                if data is not None:
                    return data
                fd = self._try_open_file(digest, is_use=is_use)
                if fd is not None:
                    return fd
                self._check_missing(digest)  # it may have been packed or unpacked meanwhile

    def _read_packed(self, digest: Digest) -> bytes | None:
        """Return the bytes of a packed blob, verified; None for one that is not packed."""
        row = self._find_row(digest)
        try:
            return read_record(self._parts, digest, row)
        except CorruptBlobError as error:
            self._lose_record(digest, row, error)
            return None

    def _lose_record(self, digest: Digest, row: Blob, error: CorruptBlobError) -> None:
        """Put a damaged record away; raise the error, unless the blob has a whole file too."""
        is_lost = False
        with swallow("local.packs", LEFT_THERE, ContentDBError, digest=digest):
            is_lost = row.location is not None and self._put_away(digest, row.location)
        if not is_lost:
            raise error
        try:
            self._find_row(digest)
        except CorruptBlobError:  # which knows only that it was damaged
            raise error from None

    def _put_away(self, digest: Digest, location: Location) -> bool:
        return lose_record(self._parts, digest, location)

    def _stat_file(self, digest: Digest) -> os.stat_result | None:
        """Return the stat of a blob's file; a packed blob gets one."""
        if self._parts.packs is not None:
            self._make_file(digest)
        return self._parts.shards.stat(digest)

    def _make_file(self, digest: Digest) -> None:
        """Give a packed blob a file."""
        from contentdb.local.commit.materialise import make_file  # few stores have packs

        row = self._find_row(digest)
        while row.location is not None:
            try:
                if make_file(self._parts, digest, row):
                    return
            except CorruptBlobError as error:
                self._lose_record(digest, row, error)
            row = self._find_row(digest)

    # -- files ---------------------------------------------------------------------------------

    def _open_file(self, digest: Digest, *, is_use: bool = True) -> int:
        with self._gate:
            self._check_namespace_has(digest)
            while (fd := self._try_open_file(digest, is_use=is_use)) is None:
                self._check_missing(digest)
                if self._parts.packs is not None:
                    self._make_file(digest)  # it may have been packed meanwhile
        return fd

    def _try_open_file(self, digest: Digest, *, is_use: bool = True) -> int | None:
        opened = self._parts.shards.open_found(digest, is_use=is_use)
        if opened is None:
            return None
        fd, found = opened
        try:
            self._check_not_deleted(digest, found)
            if is_use and self._counts_use(found):
                note_use(fd)
        except BaseException:
            files.let_go(fd)
            raise
        return fd

    def _counts_use(self, found: os.stat_result) -> bool:
        """Return whether a cache should learn of this use: the last one noted is too long ago."""
        parts = self._parts
        return parts.sharing.bounded and not parts.read_only and not is_noted(found)

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
