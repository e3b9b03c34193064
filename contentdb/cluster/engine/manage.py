"""The stored blobs: listing, labels, removal, counting."""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING

from contentdb.cluster.catalog import blobs
from contentdb.cluster.catalog.walk import walk
from contentdb.cluster.engine.lifecycle import Lifecycle
from contentdb.cluster.publish import keep_met, label_stored
from contentdb.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from contentdb.content import Info, Usage
    from contentdb.digest import Digest
    from contentdb.engine import Query
    from contentdb.labels import Labelling

__all__ = ["Manage"]


class Manage(Lifecycle):
    """The engine's part in `contentdb.content.Manager`."""

    def info(self, digest: Digest) -> Info:
        """Return the Info of a blob; its objects are not looked at."""
        with self._gate:
            return self._find(digest).info

    def exists(self, digest: Digest) -> bool:
        """Return whether a blob has a row and is not known to be damaged."""
        with self._gate:
            found = blobs.find_many(self._resources.database, self._namespace, [digest])
            return (
                digest in found
                and not found[digest].damaged
                and bool(keep_met(self._resources, self._namespace, list(found.values())))
            )

    def abbreviated(self, beginnings: list[str]) -> list[Digest]:
        """Return at most two digests of blobs that start with one of these beginnings."""
        with self._gate:
            database = self._resources.database
            found = (blobs.prefixed(database, self._namespace, one) for one in beginnings)
            return list(islice(chain.from_iterable(found), 2))

    def listed(self, digest: Digest) -> Digest:
        """Return the digest of a blob that has a row, damaged or not."""
        with self._gate:
            if not blobs.find_many(self._resources.database, self._namespace, [digest]):
                raise NotFoundError(digest=digest)
            return digest

    def update(
        self, digest: Digest, labels: Mapping[str, str], keys: frozenset[str] | None
    ) -> Info:
        """Replace all labels, or those of some keys, in one transaction."""

        def change(old: dict[str, str]) -> Mapping[str, str]:
            if keys is None:
                return labels
            kept = {key: old[key] for key in old.keys() - keys}
            return kept | {key: labels[key] for key in labels.keys() & keys}

        with self._gate:
            self._find(digest)
            if not blobs.relabel(self._resources.database, self._namespace, digest, change):
                raise NotFoundError(digest=digest)
            return self._find(digest).info

    def label_stored(self, digest: Digest, labels: Labelling) -> Info | None:
        """Set labels on stored content; return None if it was deleted meanwhile."""
        with self._gate:
            return label_stored(self._resources, self._namespace, digest, labels)

    def walk(self, query: Query) -> Iterator[Info]:
        """Yield blobs, as of the moment when the first one is asked for."""
        with self._gate:
            return walk(self._resources.database, self._namespace, query)

    def delete(self, digests: list[Digest], *, missing_ok: bool) -> int:
        """Delete blobs in one transaction; a prune removes their objects after the grace."""
        with self._gate:
            database = self._resources.database
            count, absent = blobs.remove(database, self._namespace, digests, missing_ok=missing_ok)
        if absent is not None:
            raise NotFoundError(digest=absent)
        return count

    def usage(self) -> Usage:
        """Count blobs, ingests and their bytes."""
        with self._gate:
            return blobs.usage(self._resources.database, self._namespace)
