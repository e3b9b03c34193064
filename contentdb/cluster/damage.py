"""Judges the copy of a content that its row names, and keeps the row's mark of damage true."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentdb.cluster.catalog import blobs
from contentdb.cluster.fetch import MissingError, fetch, is_whole
from contentdb.digest import Hasher
from contentdb.logs import inform, warn

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentdb.cluster.extents import Place
    from contentdb.cluster.resources import Resources
    from contentdb.digest import Digest

__all__ = ["examine", "matches", "settled"]


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
    good = matches(resources, digest, found.place, found.size)
    if good and found.damaged:
        if blobs.clear_damaged(resources.database, digest, found.place):
            inform("cluster.damage", "a blob that was marked as damaged is whole", digest=digest)
    elif not good and blobs.mark_damaged(resources.database, digest, found.place):
        warn("cluster.damage", "a blob was found damaged", digest=digest, place=found.place.about)
    return found._replace(damaged=not good)


def settled(resources: Resources, *found: blobs.Stored) -> list[blobs.Stored]:
    """Return what the rows of blobs say once their objects were looked at, many side by side.

    One that is gone or has another size is marked as damaged; a blob that was marked is read.

    Raises:
        StorageError: The object store does not answer, or the whole bucket is away.
    """
    looks = [_look(resources, one, beside=len(found) > 1) for one in found]
    return [_settle(resources, *one) for one in zip(found, looks, strict=True)]


def _look(resources: Resources, one: blobs.Stored, *, beside: bool) -> Callable[[], bool] | None:
    """Return a function that says whether objects have their sizes; None for damaged ones."""
    if one.damaged:  # not beside others: a read has threads itself, and would wait for its own
        return None
    if beside and one.place.inline is None:
        return resources.start(lambda: is_whole(resources, one.place, one.info.size)).result
    return lambda: is_whole(resources, one.place, one.info.size)


def _settle(
    resources: Resources, found: blobs.Stored, look: Callable[[], bool] | None
) -> blobs.Stored:
    digest = found.info.digest
    if look is None:
        own = examine(resources, digest)
        if own is None or own.damaged:
            return found
        return found._replace(damaged=False, place=own.place)
    if look():
        return found
    if blobs.mark_damaged(resources.database, digest, found.place):
        warn("cluster.damage", "an object of a blob is gone or has another size",
             digest=digest, place=found.place.about)  # fmt: skip
    return found._replace(damaged=True)


def matches(resources: Resources, digest: Digest, place: Place, size: int) -> bool:
    """Read and hash the copy of a content at a place; return whether it is whole."""
    if not is_whole(resources, place, size):
        return False
    hasher = Hasher(digest.algorithm)
    try:
        for piece in fetch(resources, place, 0, size):
            hasher.update(piece)
    except MissingError:
        return False
    return hasher.digest == digest
