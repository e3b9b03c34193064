"""The file of an ingest while its ref is held: sealed, synced, named, or kept for later."""

from __future__ import annotations

from contentdb import files
from contentdb.errors import ContentDBError, DurabilityError, FailedPreconditionError
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local import locks
from contentdb.logs import swallow

if TYPE_CHECKING:
    from typing import Final

    from contentdb.files import Directory
    from contentdb.local.index import IngestRow
    from contentdb.local.resources import Parts

__all__ = ["HeldFile"]

_KEPT: Final = "bytes that a failed sync made doubtful could not be removed; abort the ref"


class HeldFile:
    """An ingest's open file, locked until it is released; a `publish.Unpublished`."""

    def __init__(self, parts: Parts, row: IngestRow, fd: int) -> None:
        self.fd = fd
        self.path = parts.ingest.child(row.name)
        self.changed = False
        """Whether it has bytes that no row vouches for yet."""
        self._parts = parts
        self._ref = row.ref
        self._name = row.name
        self._token = row.token
        self._gone = False

    def _has_its_name(self) -> bool:
        return locks.is_current(self._parts.ingest, self._name, self.fd)

    def seal(self, now_ns: int) -> None:
        """Give the file the mode and the time of a blob."""
        files.seal(self.fd, self.path, now_ns)

    def unseal(self) -> None:
        """Make the file writable again after a failed commit, unless it is a blob.

        Remove it if the ingest has no row: an exception came between the removal of row and file.
        """
        if self._gone or not self._has_its_name():
            return
        if self._parts.index.ingest(self._ref) is None:
            self.take_away()
            return
        if files.stat_open(self.fd, self.path).st_nlink == 1:
            files.make_writable(self.fd, self._parts.ingest, self.path)

    def sync(self) -> None:
        """Put the bytes on disk, if the store is durable; drop the ingest if that fails."""
        if not self._parts.durable:
            return
        try:
            files.sync(self.fd, self.path)
        except DurabilityError:  # the page cache may differ from the disk now
            with swallow("local.ingest", _KEPT, ContentDBError, ref=self._ref):
                self.drop()
            raise

    def sync_changes(self) -> None:
        """Sync new bytes, so that a power cut does not undo what a later writer trusts."""
        if self.changed:
            self.sync()

    def link(self, directory: Directory, name: str) -> bool:
        """Give the file a second name; return False if the name is taken."""
        if not self._has_its_name():
            raise FailedPreconditionError(
                f"the file of ref {self._ref!r} was taken away; ingest it again"
            )
        return files.link(self._parts.ingest, self._name, directory, name)

    def content(self) -> bytes:
        """Return all bytes of the file."""
        return files.read_from_start(self.fd, self.path)

    def drop(self) -> None:
        """Remove the ingest: its row first, as bytes without a row are never resumed.

        The file is removed even if that of the row fails, so that no writer resumes these bytes.
        """
        try:
            self._parts.index.end(self._ref, self._token)
        finally:
            self.take_away()

    def take_away(self) -> None:
        """Remove the ingest's name of the file; the blob's name, if there is one, stays."""
        if self._has_its_name():
            files.unlink(self._parts.ingest, self._name)
        self.changed = False
        self._gone = True

    @property
    def is_released(self) -> bool:
        """Whether it was closed."""
        return not getattr(self.fd, "is_open", True)

    def release(self) -> None:
        """Close the file, which frees the ref; may be repeated."""
        locks.release(self.fd)
