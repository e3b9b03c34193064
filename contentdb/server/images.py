"""The service Images: containerd's names for descriptors, which are the store's tags.

As in containerd, the server does not ask whether the target is stored.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

import grpc
from google.protobuf.empty_pb2 import Empty

from contentdb.content import ANY
from contentdb.digest import Digest
from contentdb.engine import TagChange
from contentdb.errors import ConflictError, InvalidFieldError, InvalidTagError, NotFoundError
from contentdb.filters import Kind, parse
from contentdb.labels import check_labels
from contentdb.refs import check_media_type, check_tag
from contentdb.server.collecting import collect_before_answer
from contentdb.server.limits import Room
from contentdb.wire import images_pb2 as wire
from contentdb.wire.messages import to_labels, to_ns
from contentdb.wire.statuses import Refusal, quoted
from contentdb.wire.tagging import Texts, image_of, join, split

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.timestamp_pb2 import Timestamp

    from contentdb.content import Tag
    from contentdb.server.context import CallContext
    from contentdb.store import Store
    from contentdb.wire.descriptor_pb2 import Descriptor

__all__ = ["create", "delete", "get", "list_images", "update"]

_FIELDS: Final = {
    "name": Kind.TEXT,
    "target": Kind.LABELS,
    "labels": Kind.LABELS,
    "annotations": Kind.LABELS,
}
_LABEL: Final = "labels."
_ANNOTATION: Final = "annotations."
_LAST_S: Final = 1 << 33
"""Times behind it, of the year 2242, do not fit the index."""


class _Target(NamedTuple):
    """What an image stands for."""

    digest: Digest
    media_type: str | None
    size: int


def get(store: Store, request: wire.GetImageRequest) -> wire.GetImageResponse:
    """Return one image."""
    return wire.GetImageResponse(image=image_of(store.tagged(request.name)))


def list_images(store: Store, request: wire.ListImagesRequest) -> wire.ListImagesResponse:
    """Return the images that the filters select, by name; refuse if one message is too small."""
    chosen = parse(*request.filters, fields=_FIELDS)
    answer = wire.ListImagesResponse()
    room = Room("these images", "select fewer by a filter")
    for tag in store.tags():
        image = image_of(tag)
        if not chosen.matches(_fields_of(image)):
            continue
        room.take(image.ByteSize())
        answer.images.append(image)
    return answer


def _fields_of(image: wire.Image) -> dict[str, object]:
    target = image.target
    parts = {"digest": target.digest, "mediatype": target.media_type}
    return {
        "name": image.name,
        "target": {name: text for name, text in parts.items() if text},
        "labels": image.labels,
        "annotations": target.annotations,
    }


def create(
    call: CallContext, store: Store, request: wire.CreateImageRequest
) -> wire.CreateImageResponse:
    """Make an image; durable when answered."""
    image = request.image
    name = check_tag(image.name)
    target = _check_target(name, image.target)
    texts = Texts(to_labels(image.labels, "image"), image.target.annotations)
    labels = check_labels(join(texts))

    def edit(old: Tag | None) -> tuple[TagChange, int]:
        if old is not None:
            raise ConflictError(name, wanted=None, found=old.digest)
        return TagChange(name, target.digest, target.media_type, labels, ANY), target.size

    try:
        made = _edit(store, name, edit, request.source_date_epoch)
    except ConflictError:
        reason = f"image {quoted(name)}: already exists"
        raise Refusal(grpc.StatusCode.ALREADY_EXISTS, reason) from None
    answer = image_of(made)
    event = wire.ImageCreate(name=name, labels=answer.labels)
    call.events.publish(store.namespace, "/images/create", event)
    return wire.CreateImageResponse(image=answer)


def update(
    call: CallContext, store: Store, request: wire.UpdateImageRequest
) -> wire.UpdateImageResponse:
    """Change the fields that the mask names, all without one; durable when answered."""
    image = request.image
    name = check_tag(image.name)
    paths = list(request.update_mask.paths) or ["labels", "target"]
    for path in paths:
        _check_path(name, path)
    target = _check_target(name, image.target) if "target" in paths else None
    to_labels(image.labels, "image")  # here, since the index passes on errors of the store alone

    def edit(old: Tag | None) -> tuple[TagChange, int]:
        if old is None:
            raise NotFoundError(tag=name)
        digest, media_type, size = target or (old.digest, old.media_type, old.size or 0)
        labels = check_labels(join(_merge(split(old.labels), image, paths)))
        return TagChange(name, digest, media_type, labels, ANY), size

    answer = image_of(_edit(store, name, edit, request.source_date_epoch))
    event = wire.ImageUpdate(name=name, labels=answer.labels)
    call.events.publish(store.namespace, "/images/update", event)
    return wire.UpdateImageResponse(image=answer)


def delete(call: CallContext, store: Store, request: wire.DeleteImageRequest) -> Empty:
    """Remove an image, if it has the target that the request may name; durable when answered.

    With ``sync`` the answer waits for a collection; see `contentdb.server.collecting`.
    """
    wanted = request.target.digest
    try:
        store.untag(request.name, if_is=Digest(wanted) if wanted else ANY)
    except ConflictError as error:
        reason = f"image {quoted(request.name)} has target {error.found}, not {wanted}: not found"
        raise Refusal(grpc.StatusCode.NOT_FOUND, reason) from None
    event = wire.ImageDelete(name=request.name)
    call.events.publish(store.namespace, "/images/delete", event)
    if request.sync:
        collect_before_answer(store)
    return Empty()


def _edit(
    store: Store, name: str, edit: Callable[[Tag | None], tuple[TagChange, int]], epoch: Timestamp
) -> Tag:
    if not 0 <= epoch.seconds < _LAST_S:
        reason = f"{epoch.seconds} s is no time for an image"
        raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, reason)
    now_ns = to_ns(epoch) or time.time_ns()
    with store.parts() as parts:
        return parts.index.edit_tag(name, edit, now_ns)


def _check_path(name: str, path: str) -> None:
    whole = path in {"labels", "target", "annotations"}
    if not whole and not path.startswith((_LABEL, _ANNOTATION)):
        reason = f"cannot update {quoted(path)} field on image {quoted(name)}"
        raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, reason) from InvalidFieldError(path, reason)


def _merge(old: Texts, image: wire.Image, paths: list[str]) -> Texts:
    """Return the texts of an image after an update, its fields taken in the order of the mask."""
    labels, annotations = dict(old.labels), dict(old.annotations)
    for path in paths:
        if path == "labels":
            labels = dict(image.labels)
        elif path.startswith(_LABEL):
            key = path.removeprefix(_LABEL)
            labels[key] = image.labels.get(key, "")
        elif path.startswith(_ANNOTATION):
            key = path.removeprefix(_ANNOTATION)
            annotations[key] = image.target.annotations.get(key, "")
        else:
            annotations = dict(image.target.annotations)
    return Texts(labels, annotations)


def _check_target(name: str, target: Descriptor) -> _Target:
    """Return the target, or refuse what containerd refuses."""
    digest = Digest(target.digest)
    if target.size <= 0:
        raise InvalidTagError(name, "Target.Size must be greater than zero")
    if not target.media_type:
        raise InvalidTagError(name, "Target.MediaType must be set")
    return _Target(digest, check_media_type(name, target.media_type), target.size)
