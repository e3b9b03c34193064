"""Converts the store's records to protobuf messages and back.

On the wire 0 and the empty text mean unknown, where the library has None; contentdb's own field
`total_known` tells a total of 0 from an unknown one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import grpc

from contentdb.content import Info, Status
from contentdb.digest import Digest
from contentdb.errors import InvalidDigestError, InvalidLabelError
from contentdb.wire import content_pb2 as wire
from contentdb.wire.statuses import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.timestamp_pb2 import Timestamp

__all__ = [
    "OWN_SERVICE",
    "digest_or_none",
    "fill_info",
    "from_info",
    "from_status",
    "set_time",
    "to_info",
    "to_labels",
    "to_ns",
    "to_status",
]

OWN_SERVICE: Final = "contentdb.v1.Content"
"""The service of contentdb's further rpc StreamStatuses; it uses containerd's messages."""

_SECOND_NS: Final = 1_000_000_000
_LABEL_BYTES: Final = 4096
_KEY_CHARS_SHOWN: Final = 10


def set_time(stamp: Timestamp, ns: int) -> None:
    """Set a timestamp to nanoseconds since the epoch."""
    stamp.seconds, stamp.nanos = divmod(ns, _SECOND_NS)


def to_ns(stamp: Timestamp) -> int:
    """Return nanoseconds since the epoch."""
    return stamp.seconds * _SECOND_NS + stamp.nanos


def from_info(info: Info) -> wire.Info:
    """Convert an Info to its message."""
    message = wire.Info()
    fill_info(message, info)
    return message


def fill_info(message: wire.Info, info: Info) -> None:
    """Fill an empty message in place; a listing calls this thousands of times.

    It unpacks the Info as a tuple, since the attribute `digest` would parse the digest again.
    """
    message.digest, message.size, created_ns, updated_ns, labels = info
    stamp = message.created_at
    stamp.seconds, stamp.nanos = divmod(created_ns, _SECOND_NS)
    stamp = message.updated_at
    stamp.seconds, stamp.nanos = divmod(updated_ns, _SECOND_NS)
    if labels:
        message.labels.update(labels)


def to_info(message: wire.Info) -> Info:
    """Convert a message to an Info."""
    return Info(
        Digest(message.digest),
        message.size,
        to_ns(message.created_at),
        to_ns(message.updated_at),
        dict(message.labels),
    )


def from_status(status: Status) -> wire.Status:
    """Convert a Status to its message."""
    message = wire.Status(
        ref=status.ref,
        offset=status.offset,
        total=status.total or 0,
        expected=status.expected or "",
        total_known=status.total is not None,
        held=status.held,
        metadata=status.metadata,
    )
    set_time(message.started_at, status.started_ns)
    set_time(message.updated_at, status.updated_ns)
    return message


def to_status(message: wire.Status) -> Status:
    """Convert a message to a Status. Only contentdb's server sends ``held`` and ``metadata``."""
    return Status(
        ref=message.ref,
        offset=message.offset,
        total=message.total if message.total or message.total_known else None,
        expected=digest_or_none(message.expected),
        started_ns=to_ns(message.started_at),
        updated_ns=to_ns(message.updated_at),
        held=message.held,
        metadata=dict(message.metadata),
    )


def to_labels(labels: Mapping[str, str], of: str = "info") -> dict[str, str]:
    """Return a request's labels, or refuse one that is too long in containerd's words.

    Args:
        labels: By their keys.
        of: What containerd calls the record that they belong to.
    """
    for key, value in labels.items():
        if len(key.encode()) + len(value.encode()) > _LABEL_BYTES:
            reason = f"label key and value greater than maximum size ({_LABEL_BYTES} bytes)"
            raise Refusal(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"{of}.Labels: {reason}, key: {key[:_KEY_CHARS_SHOWN]}",
            ) from InvalidLabelError(key, reason)
    return dict(labels)


def digest_or_none(text: str) -> Digest | None:
    """Return the digest in a text, or None if the text is empty or malformed."""
    try:
        return Digest(text) if text else None
    except InvalidDigestError:
        return None
