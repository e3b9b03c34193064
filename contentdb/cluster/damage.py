"""Judges by its digest the copy of a content that its row names, and keeps the row's mark true."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentdb.cluster.catalog import blobs
from contentdb.cluster.fetch import MissingError, fetch, is_whole
from contentdb.digest import Hasher
from contentdb.logs import inform, warn

if TYPE_CHECKING:
    from contentdb.cluster.extents import Place
    from contentdb.cluster.resources import Resources
    from contentdb.digest import Digest

__all__ = ["examine"]


def examine(resources: Resources, digest: Digest) -> blobs.StoredObject | None:
    """Read and hash the copy that the row of a content names, in whatever namespace it is.

    A bad copy is marked as damaged, a good one that was marked is so no more. Return what the
    row says then; None if there is none.

    Raises:
        StorageError: The object store does not answer.
    """
    found = blobs.find_object(resources.database, digest)
    if found is None:
        return None
    good = _matches(resources, digest, found.place, found.size)
    if good and found.damaged:
        if blobs.clear_damaged(resources.database, digest, found.place):
            inform("cluster.damage", "a blob that was marked as damaged is whole", digest=digest)
    elif not good and blobs.mark_damaged(resources.database, digest, found.place):
        warn("cluster.damage", "a blob was found damaged", digest=digest, place=found.place.about)
    return found._replace(damaged=not good)


def _matches(resources: Resources, digest: Digest, place: Place, size: int) -> bool:
    if not is_whole(resources, place, size):
        return False
    hasher = Hasher(digest.algorithm)
    try:
        for piece in fetch(resources, place, 0, size):
            hasher.update(piece)
    except MissingError:
        return False
    return hasher.digest == digest
