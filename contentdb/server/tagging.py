"""contentdb's own service of tags: with compare and swap, and lists of any length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import grpc
from google.protobuf.empty_pb2 import Empty

from contentdb.wire import images_pb2
from contentdb.wire import tags_pb2 as wire
from contentdb.wire.statuses import Refusal
from contentdb.wire.tagging import condition_of, fill_record, split

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentdb.content import Tag
    from contentdb.server.context import CallContext
    from contentdb.store import Store

__all__ = ["get", "list_tags", "tag", "untag"]

_BYTES_PER_MESSAGE: Final = 1024 * 1024


def tag(call: CallContext, store: Store, request: wire.TagRequest) -> wire.TagResponse:
    """Let a name stand for a stored blob; durable when answered."""
    made = store.tag(
        request.name,
        request.digest,
        media_type=request.media_type if request.HasField("media_type") else None,
        labels=None if request.keep_labels else dict(request.labels),
        if_is=condition_of(request.if_is if request.HasField("if_is") else None),
    )
    labels = split(made.labels).labels
    if made.created_ns == made.updated_ns:
        event = images_pb2.ImageCreate(name=made.name, labels=labels)
        call.events.publish(store.namespace, "/images/create", event)
    else:
        news = images_pb2.ImageUpdate(name=made.name, labels=labels)
        call.events.publish(store.namespace, "/images/update", news)
    return _answer(made)


def untag(call: CallContext, store: Store, request: wire.UntagRequest) -> Empty:
    """Remove a name; durable when answered."""
    condition = condition_of(request.if_is if request.HasField("if_is") else None)
    if condition is None:
        raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, "what is to be untagged must be there")
    store.untag(request.name, if_is=condition)
    event = images_pb2.ImageDelete(name=request.name)
    call.events.publish(store.namespace, "/images/delete", event)
    return Empty()


def get(store: Store, request: wire.GetTagRequest) -> wire.TagResponse:
    """Return one tag."""
    return _answer(store.tagged(request.name))


def _answer(tag: Tag) -> wire.TagResponse:
    answer = wire.TagResponse()
    fill_record(answer.tag, tag)
    return answer


def list_tags(store: Store, request: wire.ListTagsRequest) -> Iterator[wire.ListTagsResponse]:
    """Stream the tags that the filters choose, by name, in messages of about a mebibyte."""
    answer, size = wire.ListTagsResponse(), 0
    for tag in store.tags(*request.filters, of=request.of if request.HasField("of") else None):
        record = wire.TagRecord()
        fill_record(record, tag)
        weight = record.ByteSize()
        if answer.tags and size + weight > _BYTES_PER_MESSAGE:
            yield answer
            answer, size = wire.ListTagsResponse(), 0
        answer.tags.append(record)
        size += weight
    if answer.tags:
        yield answer
