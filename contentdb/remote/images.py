"""Tags at a server that is no contentdb, as a containerd: its images.

Each of its calls is atomic, and durable, but it knows no condition beside "there is no such
image", and does not ask whether the target is stored. So what needs more is refused; and the blob
is looked for before its name is given, so that it may be deleted in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from google.protobuf.field_mask_pb2 import FieldMask

from contentdb.content import ANY
from contentdb.errors import (
    AlreadyExistsError,
    ConflictError,
    FailedPreconditionError,
    NotFoundError,
    StoreError,
)
from contentdb.filters.items import fields_of_tag
from contentdb.remote.answers import is_unimplemented
from contentdb.remote.believing import as_tag_of_image
from contentdb.remote.labelling import info_of
from contentdb.wire import images_pb2 as wire
from contentdb.wire.descriptor_pb2 import Descriptor
from contentdb.wire.tagging import split

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from contentdb.content import Anything, Tag
    from contentdb.digest import Digest
    from contentdb.engine import TagChange
    from contentdb.filters import Filter
    from contentdb.remote.channel import Channel

__all__ = ["tag", "tagged", "tags", "untag"]

_TRIES: Final = 10
"""How often a tag is made or moved that others make and remove at the same time."""


def tag(channel: Channel, change: TagChange) -> Tag:
    """Let a name stand for a stored blob, if there is no condition or if there must be no name."""
    if change.if_is is not ANY and change.if_is is not None:
        raise _cannot_compare(change.name)
    image = _image_of(channel, change)
    for _ in range(_TRIES):
        try:
            return _create(channel, image)
        except AlreadyExistsError:
            if change.if_is is None:
                raise _conflict(channel, change) from None
        try:
            return _update(channel, image, change.labels)
        except NotFoundError:  # it was removed meanwhile
            continue
    reason = f"tag {change.name!r:.80} comes and goes; try again"
    raise StoreError("remote store", reason)


def _image_of(channel: Channel, change: TagChange) -> wire.Image:
    """Return the image that is to be; one that stays keeps its media type and its labels."""
    size = info_of(channel, change.digest).size
    try:
        old = tagged(channel, change.name)
    except NotFoundError:
        old = None
    media_type = change.media_type_after(old)
    if media_type is None:
        reason = "this server names nothing without a media type: give one"
        raise FailedPreconditionError(f"tag {change.name!r:.80}: {reason}")
    labels, annotations = split(change.labels_after(old))
    target = Descriptor(
        digest=change.digest, size=size, media_type=media_type, annotations=annotations
    )
    return wire.Image(name=change.name, target=target, labels=labels)


def _create(channel: Channel, image: wire.Image) -> Tag:
    with channel.translate_errors(digest=image.target.digest):
        answer = channel.ask("Images.Create", wire.CreateImageRequest(image=image))
    return as_tag_of_image(answer.image, asked=image.name)


def _update(channel: Channel, image: wire.Image, labels: Mapping[str, str] | None) -> Tag:
    mask = FieldMask(paths=["target"] if labels is None else ["target", "labels"])
    request = wire.UpdateImageRequest(image=image, update_mask=mask)
    with channel.translate_errors(absent=NotFoundError(tag=image.name)):
        answer = channel.ask("Images.Update", request)
    return as_tag_of_image(answer.image, asked=image.name)


def _conflict(channel: Channel, change: TagChange) -> ConflictError:
    try:
        found: str | None = tagged(channel, change.name).digest
    except NotFoundError:  # it was removed meanwhile
        found = None
    return ConflictError(change.name, wanted=None, found=found)


def untag(channel: Channel, name: str, if_is: Digest | Anything) -> None:
    """Remove a name, if there is no condition."""
    if if_is is not ANY:
        raise _cannot_compare(name)
    with channel.translate_errors(absent=NotFoundError(tag=name)):
        channel.ask("Images.Delete", wire.DeleteImageRequest(name=name))


def _cannot_compare(name: str) -> FailedPreconditionError:
    reason = "this server is no contentdb, and cannot compare and swap: leave out if_is"
    return FailedPreconditionError(f"tag {name!r:.80}: {reason}")


def tagged(channel: Channel, name: str) -> Tag:
    """Return a tag. A server without images has none."""
    try:
        with channel.translate_errors(absent=NotFoundError(tag=name)):
            answer = channel.ask("Images.Get", wire.GetImageRequest(name=name))
    except StoreError as error:
        if is_unimplemented(error):
            raise NotFoundError(tag=name) from error
        raise
    return as_tag_of_image(answer.image, asked=name)


def tags(channel: Channel, of: Digest | None, chosen: Filter | None) -> Iterator[Tag]:
    """List tags by name, from one message. A server without images has none."""
    filters = [] if of is None else [f'target.digest=="{of}"']
    try:
        with channel.translate_errors():
            answer = channel.ask("Images.List", wire.ListImagesRequest(filters=filters))
    except StoreError as error:
        if is_unimplemented(error):
            return iter(())
        raise
    found = sorted(map(as_tag_of_image, answer.images), key=lambda tag: tag.name)
    return (
        tag
        for tag in found
        if (of is None or tag.digest == of)
        and (chosen is None or chosen.matches(fields_of_tag(tag)))
    )
