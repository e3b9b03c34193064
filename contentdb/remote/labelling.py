"""The Info that a storing call returns, and its labels for content that was stored before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.field_mask_pb2 import FieldMask

from contentdb.remote.believing import as_info
from contentdb.values import NewInfo
from contentdb.wire import content_pb2 as wire

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentdb.content import Info
    from contentdb.digest import Digest
    from contentdb.remote.channel import Channel

__all__ = ["info_of", "info_of_new", "label_stored"]


def info_of(channel: Channel, digest: Digest) -> Info:
    """Return a blob's Info."""
    with channel.translate_errors(digest=digest):
        answer = channel.info(wire.InfoRequest(digest=digest))
    return as_info(answer.info, asked=digest)


def info_of_new(channel: Channel, digest: Digest) -> Info:
    """Return the Info of content that this client has just stored."""
    return NewInfo.of(info_of(channel, digest))


def label_stored(channel: Channel, digest: Digest, labels: Mapping[str, str]) -> Info:
    """Add labels to a blob, durably; send nothing if it has them already."""
    info = info_of(channel, digest)
    if labels.items() <= info.labels.items():
        return info
    request = wire.UpdateRequest(
        info=wire.Info(digest=digest, labels=labels),
        update_mask=FieldMask(paths=[f"labels.{key}" for key in labels]),
    )
    with channel.translate_errors(digest=digest):
        answer = channel.update(request)
    return as_info(answer.info, asked=digest)
