"""Converts tags to protobuf messages and back: contentdb's own, and containerd's images.

An image's target may have annotations. Those of a tag are among its labels, under keys that begin
with `contentdb.labels.ANNOTATION`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from contentdb.content import ANY, Anything, Tag
from contentdb.digest import Digest
from contentdb.labels import ANNOTATION
from contentdb.wire import images_pb2, tags_pb2
from contentdb.wire.messages import set_time, to_ns

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "IMAGES",
    "TAGS",
    "Texts",
    "condition_of",
    "fill_record",
    "from_condition",
    "image_of",
    "join",
    "split",
    "tag_of_image",
    "tag_of_record",
]

IMAGES: Final = "containerd.services.images.v1.Images"
TAGS: Final = "contentdb.v1.Tags"


class Texts(NamedTuple):
    """The labels of an image, and the annotations of its target."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]


def split(labels: Mapping[str, str]) -> Texts:
    """Part a tag's labels into those of its image and the target's annotations."""
    start = len(ANNOTATION)
    about = {key[start:]: value for key, value in labels.items() if key.startswith(ANNOTATION)}
    rest = {key: value for key, value in labels.items() if not key.startswith(ANNOTATION)}
    return Texts(rest, about)


def join(texts: Texts) -> dict[str, str]:
    """Undo `split`."""
    about = {ANNOTATION + key: value for key, value in texts.annotations.items()}
    return {**texts.labels, **about}


def image_of(tag: Tag) -> images_pb2.Image:
    """Convert a tag to an image."""
    labels, annotations = split(tag.labels)
    message = images_pb2.Image(name=tag.name, labels=labels)
    target = message.target
    target.media_type, target.digest = tag.media_type or "", str(tag.digest)
    target.size = tag.size or 0
    target.annotations.update(annotations)
    set_time(message.created_at, tag.created_ns)
    set_time(message.updated_at, tag.updated_ns)
    return message


def tag_of_image(message: images_pb2.Image) -> Tag:
    """Convert an image to a tag."""
    return Tag(
        message.name,
        Digest(message.target.digest),
        message.target.media_type or None,
        message.target.size,
        to_ns(message.created_at),
        to_ns(message.updated_at),
        join(Texts(message.labels, message.target.annotations)),
    )


def fill_record(message: tags_pb2.TagRecord, tag: Tag) -> None:
    """Fill an empty message with a tag."""
    message.name, message.digest = tag.name, str(tag.digest)
    if tag.media_type is not None:
        message.media_type = tag.media_type
    if tag.size is not None:
        message.size = tag.size
    set_time(message.created_at, tag.created_ns)
    set_time(message.updated_at, tag.updated_ns)
    message.labels.update(tag.labels)


def tag_of_record(message: tags_pb2.TagRecord) -> Tag:
    """Convert a message to a tag."""
    return Tag(
        message.name,
        Digest(message.digest),
        message.media_type if message.HasField("media_type") else None,
        message.size if message.HasField("size") else None,
        to_ns(message.created_at),
        to_ns(message.updated_at),
        dict(message.labels),
    )


def from_condition(if_is: Digest | Anything | None) -> tags_pb2.Condition | None:
    """Return the message of a condition; None, which is sent as nothing, if there is none."""
    if isinstance(if_is, Anything):
        return None
    return tags_pb2.Condition(digest=if_is)


def condition_of(message: tags_pb2.Condition | None) -> Digest | Anything | None:
    """Undo `from_condition`."""
    if message is None:
        return ANY
    return Digest(message.digest) if message.HasField("digest") else None
