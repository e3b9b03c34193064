"""The rpcs that change nothing: Info, List, Read, Status and ListStatuses."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

import grpc

from contentdb import files
from contentdb.digest import Digest
from contentdb.errors import OffsetOutOfRangeError
from contentdb.server import content_pb2 as wire
from contentdb.server.framing import frame_data
from contentdb.server.messages import fill_info, from_info, from_status
from contentdb.server.statuses import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentdb.server.openblobs import OpenBlobs
    from contentdb.store import Store

__all__ = ["info", "list_content", "list_statuses", "read", "status"]

_INFOS_PER_MESSAGE: Final = 100
_BYTES_PER_MESSAGE: Final = 1024 * 1024


def info(store: Store, request: wire.InfoRequest) -> wire.InfoResponse:
    """Answer for one blob."""
    return wire.InfoResponse(info=from_info(store.info(Digest(request.digest))))


def list_content(
    store: Store, request: wire.ListContentRequest
) -> Iterator[wire.ListContentResponse]:
    """Stream what the filters select, by digest; nothing found is no message."""
    infos = store.walk(*request.filters)
    while page := list(islice(infos, _INFOS_PER_MESSAGE)):
        response = wire.ListContentResponse()
        for each in page:
            fill_info(response.info.add(), each)
        yield response


def read(blobs: OpenBlobs, store: Store, request: wire.ReadContentRequest) -> Iterator[bytes]:
    """Stream a range, serialized. A whole blob is verified on the way: no damaged end is sent.

    A size that is not positive, or reaches behind the end, means the rest. The offsets of
    the messages count from the start of the range.
    """
    offset = max(0, request.offset)
    if offset == 0 and request.size <= 0:
        yield from _whole(store, Digest(request.digest))
        return
    reader = blobs.reader(store, request.digest)
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
        if not data:  # the file was cut short while we read it
            raise Refusal(grpc.StatusCode.DATA_LOSS, f"blob {request.digest} ends too early")
        yield frame_data(sent, data)
        sent += len(data)


def _whole(store: Store, digest: Digest) -> Iterator[bytes]:
    sent = 0
    with store.open(digest) as reader:
        while data := reader.read(_BYTES_PER_MESSAGE):
            yield frame_data(sent, data)
            sent += len(data)


def status(store: Store, request: wire.StatusRequest) -> wire.StatusResponse:
    """Answer for one ingest."""
    return wire.StatusResponse(status=from_status(store.status(request.ref)))


def list_statuses(store: Store, request: wire.ListStatusesRequest) -> wire.ListStatusesResponse:
    """Answer with the ingests that the filters select, by ref."""
    return wire.ListStatusesResponse(statuses=map(from_status, store.statuses(*request.filters)))
