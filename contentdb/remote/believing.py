"""Checks a server's records and converts them into the library's.

A server may be broken, or not what it claims to be. A record is accepted only if it is of the blob
or ingest that was asked for, and if its sizes, offsets and times are possible.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from contentdb.digest import Digest
from contentdb.errors import InvalidDigestError, StoreError
from contentdb.wire.leasing import info_of_lease
from contentdb.wire.messages import to_info, to_status
from contentdb.wire.tagging import tag_of_image, tag_of_record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.timestamp_pb2 import Timestamp

    from contentdb.content import Info, LeaseInfo, Status, Tag
    from contentdb.wire import content_pb2 as wire
    from contentdb.wire import images_pb2, leases_pb2, tags_pb2

__all__ = [
    "as_digest",
    "as_info",
    "as_lease",
    "as_status",
    "as_tag",
    "as_tag_of_image",
    "nonsense",
]

_FIRST_S: Final = -62_135_596_800
_LAST_S: Final = 253_402_300_799
_LAST_NS: Final = 999_999_999
"""A `Timestamp` covers the years 1 to 9999 (protobuf's timestamp.proto)."""


def nonsense(what: str) -> StoreError:
    """Return the error for an answer that cannot be right."""
    return StoreError("remote store", f"the server answers with {what}")


def as_digest(text: str) -> Digest:
    """Return a digest that a server sent, or raise `StoreError` if it is malformed."""
    try:
        return Digest(text)
    except InvalidDigestError as error:
        raise nonsense(f"an {error}") from error


def as_info(message: wire.Info, *, asked: str | None = None) -> Info:
    """Convert a server's Info; raise `StoreError` if impossible or of another blob."""
    digest = as_digest(message.digest)
    if asked is not None and digest != asked:
        raise nonsense(f"{digest} where {asked} was asked for")
    if message.size < 0:
        raise nonsense(f"a size of {message.size} bytes")
    _check_times((message.created_at, message.updated_at))
    return to_info(message)


def as_status(message: wire.Status, *, asked: str | None = None) -> Status:
    """Convert a server's Status; raise `StoreError` if impossible or of another ref."""
    if asked is not None and message.ref != asked:
        raise nonsense(f"ref {message.ref!r:.80} where {asked!r:.80} was asked for")
    if message.offset < 0 or message.total < 0:
        raise nonsense(f"{message.offset} of {message.total} bytes")
    _check_times((message.started_at, message.updated_at))
    return to_status(message)


def as_tag(message: tags_pb2.TagRecord, *, asked: str | None = None) -> Tag:
    """Convert a server's tag; raise `StoreError` if impossible or of another name."""
    _check_tag(message.name, message.digest, message.size, asked)
    _check_times((message.created_at, message.updated_at))
    return tag_of_record(message)


def as_tag_of_image(message: images_pb2.Image, *, asked: str | None = None) -> Tag:
    """Convert a server's image to a tag; raise `StoreError` if impossible or of another name."""
    _check_tag(message.name, message.target.digest, message.target.size, asked)
    _check_times((message.created_at, message.updated_at))
    return tag_of_image(message)


def as_lease(message: leases_pb2.Lease) -> LeaseInfo:
    """Convert a server's lease; raise `StoreError` if impossible."""
    _check_times((message.created_at,))
    try:
        return info_of_lease(message)
    except ValueError as error:
        raise nonsense(f"a lease that ends at no time: {error}") from error


def _check_tag(name: str, digest: str, size: int, asked: str | None) -> None:
    if asked is not None and name != asked:
        raise nonsense(f"tag {name!r:.80} where {asked!r:.80} was asked for")
    as_digest(digest)
    if size < 0:
        raise nonsense(f"a size of {size} bytes")


def _check_times(stamps: Iterable[Timestamp]) -> None:
    for stamp in stamps:
        if not (_FIRST_S <= stamp.seconds <= _LAST_S and 0 <= stamp.nanos <= _LAST_NS):
            raise nonsense(f"a time of {stamp.seconds} s and {stamp.nanos} ns")
