"""Reads of blobs: the row says where the bytes are, and small ones come with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentdb.cluster.engine.lifecycle import Lifecycle
from contentdb.cluster.fetch import MissingError, fetch
from contentdb.cluster.reader import ClusterReader
from contentdb.digest import MISMATCH
from contentdb.errors import FailedPreconditionError
from contentdb.streams.export import save

if TYPE_CHECKING:
    from pathlib import Path

    from contentdb.cluster.catalog.blobs import Stored
    from contentdb.content import ExportLink, Reader
    from contentdb.digest import Digest

__all__ = ["Read"]


class Read(Lifecycle):
    """The engine's part in `contentdb.content.Provider`."""

    def open(self, digest: Digest, *, verify: bool) -> Reader:
        """Open a blob; it can be read on after a delete, until a prune after the grace."""
        with self._gate:
            found = self._find(digest, look=True)
        return self._reader(found, verify=verify)

    def _reader(self, found: Stored, *, verify: bool) -> ClusterReader:
        info, place = found.info, found.place
        resources, damaged = self._resources, self._report_damage
        return ClusterReader(resources, info.digest, info.size, place, damaged, verify=verify)

    def read(self, digest: Digest) -> bytes:
        """Return all bytes of a blob, verified; note damage and raise."""
        with self._gate:
            return self._read(self._find(digest, look=True))

    def _read(self, found: Stored) -> bytes:
        digest = found.info.digest
        try:
            data = b"".join(fetch(self._resources, found.place, 0, found.info.size))
        except MissingError as error:
            self._report_damage(digest, found.place, f"object {error} is gone or cut off")
        if not digest.matches(data):
            self._report_damage(digest, found.place, MISMATCH)
        return data

    def path(self, digest: Digest) -> Path:
        """Raise: the front asks for the capability first."""
        raise FailedPreconditionError(f"{digest} has no file: its store is at {self.place}")

    def export(self, digest: Digest, target: Path, link: ExportLink) -> Path:  # noqa: ARG002 - a copy always
        """Write a blob to a path of the caller, as a copy."""
        with self.open(digest, verify=True) as reader:
            return save(reader, target)

    def urls(self, digest: Digest, seconds: int) -> list[str]:
        """Return URLs by which anyone may read the blob's objects, in order, for so long."""
        with self._gate:
            found = self._find(digest, look=True)
            if found.place.inline is not None:
                raise FailedPreconditionError(
                    f"{digest} has {found.info.size} bytes, which are in the database: read them"
                )
            keys = [piece.key for piece in found.place.pieces(0, found.info.size)]
            return list(self._resources.bucket.sign(keys, seconds))
