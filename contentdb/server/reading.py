"""The rpcs that change nothing: Info, List, Read, Status and ListStatuses.

Listings bound their messages by bytes, not only by records: labels and refs may be long.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final

import grpc

from contentdb import files
from contentdb.digest import Digest
from contentdb.errors import OffsetOutOfRangeError
from contentdb.server.limits import Room
from contentdb.wire import content_pb2 as wire
from contentdb.wire.framing import frame_data
from contentdb.wire.messages import fill_info, from_info, from_status
from contentdb.wire.statuses import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from contentdb.content import Info, Status
    from contentdb.server.context import CallContext
    from contentdb.store import Store

__all__ = ["info", "list_content", "list_statuses", "read", "status", "stream_statuses"]

_INFOS_PER_MESSAGE: Final = 100
_BYTES_PER_MESSAGE: Final = 1024 * 1024
_INFO_BYTES: Final = 256
"""Upper bound of an Info without its labels."""
_ENTRY_BYTES: Final = 12
"""Upper bound of the overhead of a label or an entry of metadata, beside its texts."""
_STATUS_BYTES: Final = 256
"""Upper bound of a Status without its ref and metadata."""


def info(store: Store, request: wire.InfoRequest) -> wire.InfoResponse:
    """Return one blob's Info."""
    return wire.InfoResponse(info=from_info(store.info(Digest(request.digest))))


def list_content(
    store: Store, request: wire.ListContentRequest
) -> Iterator[wire.ListContentResponse]:
    """Stream the blobs that the filters select, by digest; send no message if there are none."""
    response, left = wire.ListContentResponse(), _BYTES_PER_MESSAGE
    for each in store.walk(*request.filters):
        weight = _weight_of(each)
        if response.info and (weight > left or len(response.info) == _INFOS_PER_MESSAGE):
            yield response
            response, left = wire.ListContentResponse(), _BYTES_PER_MESSAGE
        fill_info(response.info.add(), each)
        left -= weight
    if response.info:
        yield response


def _weight_of(info: Info) -> int:
    """Return an upper bound of an Info's bytes; the tuple's own labels are read, for speed."""
    labels = info[4]
    return _INFO_BYTES + _weight_of_texts(labels) if labels else _INFO_BYTES


def _weight_of_status(status: Status) -> int:
    return _STATUS_BYTES + _utf8_bytes(status.ref) + _weight_of_texts(status.metadata)


def _weight_of_texts(texts: Mapping[str, str]) -> int:
    """Return an upper bound of a map's bytes in a message."""
    bare = sum(map(_utf8_bytes, chain.from_iterable(texts.items())))
    return _ENTRY_BYTES * len(texts) + bare


def _utf8_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def read(call: CallContext, store: Store, request: wire.ReadContentRequest) -> Iterator[bytes]:
    """Stream a range as serialized messages. A whole blob is verified before its end is sent.

    A size that is not positive, or exceeds the rest of the blob, means the rest. The offsets in
    the messages count from the start of the range.
    """
    offset = max(0, request.offset)
    if offset == 0 and request.size <= 0:
        yield from _stream_whole(store, Digest(request.digest))
        return
    reader = call.blobs.reader(store, request.digest)
    left = reader.size - offset
    if left < 0:
        raise Refusal(
            grpc.StatusCode.OUT_OF_RANGE, f"read past object length {reader.size} bytes"
        ) from OffsetOutOfRangeError(offset, reader.size)
    if request.size > 0:
        left = min(left, request.size)
    sent = 0
    while sent < left:
        wanted = min(left - sent, _BYTES_PER_MESSAGE)
        data = files.read_at(reader.fileno(), wanted, offset + sent, reader.digest)
        if not data:  # the file was truncated during the read
            raise Refusal(grpc.StatusCode.DATA_LOSS, f"blob {request.digest} ends too early")
        yield frame_data(sent, data)
        sent += len(data)


def _stream_whole(store: Store, digest: Digest) -> Iterator[bytes]:
    sent = 0
    with store.open(digest) as reader:
        while data := reader.read(_BYTES_PER_MESSAGE):
            yield frame_data(sent, data)
            sent += len(data)


def status(store: Store, request: wire.StatusRequest) -> wire.StatusResponse:
    """Return one ingest's Status."""
    return wire.StatusResponse(status=from_status(store.status(request.ref)))


def list_statuses(store: Store, request: wire.ListStatusesRequest) -> wire.ListStatusesResponse:
    """Return the ingests that the filters select, by ref; refuse if one message is too small."""
    response = wire.ListStatusesResponse()
    room = Room("these ingests", "select fewer by a filter")
    for each in store.statuses(*request.filters):
        room.take(_weight_of_status(each))
        response.statuses.append(from_status(each))
    return response


def stream_statuses(
    store: Store, request: wire.ListStatusesRequest
) -> Iterator[wire.ListStatusesResponse]:
    """Stream the ingests that the filters select, by ref. Only contentdb has this rpc."""
    response, left = wire.ListStatusesResponse(), _BYTES_PER_MESSAGE
    for each in store.statuses(*request.filters):
        weight = _weight_of_status(each)
        if response.statuses and weight > left:
            yield response
            response, left = wire.ListStatusesResponse(), _BYTES_PER_MESSAGE
        response.statuses.append(from_status(each))
        left -= weight
    if response.statuses:
        yield response
