"""Reads through the cache of this host, if the store has one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentdb.cluster.engine.read import Read
from contentdb.cluster.segments import SEGMENT_BYTES
from contentdb.engine import Capability
from contentdb.streams.export import save

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from contentdb.cluster.catalog.blobs import Stored
    from contentdb.content import ExportLink, Reader
    from contentdb.digest import Digest

__all__ = ["Cached"]


class Cached(Read):
    """The engine's part in `contentdb.content.Provider`, with a cache.

    Each read asks the database for the blob's row, with which the bytes of a small one come: only
    blobs with objects are cached, unless a path is asked for.
    """

    def _by_place(self) -> frozenset[Capability]:
        """Return what the place of the objects, and the cache, make possible."""
        found = set()
        if self._resources.bucket.signs:
            found.add(Capability.URLS)
        if self._cache is not None:
            found.add(Capability.PATHS)
        return frozenset(found)

    def open(self, digest: Digest, *, verify: bool) -> Reader:
        """Open a blob; a long one that is not to be verified, of which a part is read, as it is."""
        cache = self._cache
        if cache is None:
            return super().open(digest, verify=verify)
        with self._gate:
            found = self._find(digest, look=True)
            size, reader = found.info.size, None

            def act() -> Reader:
                return cache.files.open(digest, verify=verify)

            if found.place.inline is None:
                if verify or size <= SEGMENT_BYTES:
                    reader = cache.use(digest, size, self._opener(found), act)
                else:
                    reader = cache.try_act(digest, act)
            return self._reader(found, verify=verify) if reader is None else reader

    def _opener(self, found: Stored) -> Callable[[], Reader]:
        return lambda: self._reader(found, verify=True)

    def read(self, digest: Digest) -> bytes:
        """Return all bytes of a blob, verified."""
        cache = self._cache
        if cache is None:
            return super().read(digest)
        with self._gate:
            found = self._find(digest, look=True)
            data = None
            if found.place.inline is None:
                size = found.info.size
                data = cache.use(
                    digest, size, self._opener(found), lambda: cache.files.read(digest)
                )
            return self._read(found) if data is None else data

    def path(self, digest: Digest) -> Path:
        """Return the file of a blob in the cache, which stays until others need the room."""
        cache = self._cache
        if cache is None:
            return super().path(digest)
        with self._gate:
            found = self._find(digest, look=True)
            size = found.info.size
            return cache.demand(digest, size, self._opener(found), lambda: cache.files.path(digest))

    def export(self, digest: Digest, target: Path, link: ExportLink) -> Path:
        """Write a blob to a path of the caller; a reflink or hard link is of the cache's file."""
        cache = self._cache
        if cache is None:
            return super().export(digest, target, link)
        with self._gate:
            found = self._find(digest, look=True)
            if found.place.inline is None or link == "hardlink":

                def act() -> Path:
                    return cache.files.export(digest, target, link=link)

                done = cache.use(digest, found.info.size, self._opener(found), act)
                if done is not None:
                    return done
        with self._reader(found, verify=True) as reader:
            return save(reader, target)
