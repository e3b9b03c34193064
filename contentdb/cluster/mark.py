"""The object that says which store a bucket belongs to, and which database may prune it."""

from __future__ import annotations

import errno
import json
from typing import TYPE_CHECKING, Final, NamedTuple

from contentdb.errors import NotAStoreError, StorageError

if TYPE_CHECKING:
    from contentdb.cluster.catalog.meta import Epoch
    from contentdb.cluster.objects import Bucket

__all__ = ["KEY", "Mark", "check_mark", "check_there", "read_mark", "write_mark"]

KEY: Final = "contentdb.json"


class Mark(NamedTuple):
    """What the object says."""

    uuid: str
    """Of the store."""
    epoch: str
    """The life of the database that knows all objects; a copy of it has the same uuid."""


def read_mark(bucket: Bucket) -> Mark | None:
    """Return what a bucket says; None if it has no mark.

    Raises:
        NotAStoreError: It has another object in its place.
    """
    data = bucket.get(KEY, 0, 4096)
    if data is None:
        return None
    try:
        found = json.loads(data)
        return Mark(str(found["uuid"]), str(found["epoch"]))
    except (ValueError, KeyError, TypeError) as error:
        raise NotAStoreError(bucket.url, f"its object {KEY} is not a store's") from error


def write_mark(bucket: Bucket, uuid: str, epoch: Epoch) -> None:
    """Make a bucket that of a store, in this life of its database."""
    bucket.put(KEY, json.dumps({"uuid": uuid, "epoch": str(epoch)}).encode())


def check_mark(bucket: Bucket, wanted: str) -> Mark:
    """Return the mark; raise `NotAStoreError` unless the bucket is that of a store."""
    found = read_mark(bucket)
    if found is None or found.uuid != wanted:
        what = "holds no store" if found is None else f"holds the objects of store {found.uuid}"
        raise NotAStoreError(
            bucket.url,
            f"it {what}, and the database is that of store {wanted}: they do not belong together; "
            "give the database, or restore the bucket, that does",
        )
    return found


def check_there(bucket: Bucket, wanted: str, missing: str) -> None:
    """Raise `StorageError` if a whole bucket is away, so that one missing object tells nothing."""
    try:
        found = read_mark(bucket)
    except NotAStoreError:  # an answer that was cut off, say
        found = None
    if found is None or found.uuid != wanted:
        reason = f"the bucket is away or another's: its {KEY} is not that of store {wanted}"
        raise StorageError("read", f"{bucket.url}/{missing}", OSError(errno.ENODEV, reason))
