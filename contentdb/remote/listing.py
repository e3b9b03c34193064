"""Listings: a server's messages, each with some records, as one stream of them."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, TypeVar

from contentdb.errors import StoreError
from contentdb.remote.answers import is_unimplemented
from contentdb.remote.believing import as_info, as_status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentdb.content import Info, Status
    from contentdb.remote.channel import Channel
    from contentdb.wire import content_pb2 as wire

__all__ = ["list_infos", "list_statuses"]

Record = TypeVar("Record")


def list_infos(channel: Channel, request: wire.ListContentRequest) -> Iterator[Info]:
    """List blobs. The first message is here on return, so that the listing is as of now."""
    return _flat(channel, map(_infos_of, channel.list_content(request)))


def list_statuses(channel: Channel, request: wire.ListStatusesRequest) -> Iterator[Status]:
    """List ingests by ref, as a stream where the server has one.

    containerd's rpc answers with all of them in one message, in any order.
    """
    try:
        return _flat(channel, map(_statuses_of, channel.stream_statuses(request)))
    except StoreError as error:
        if not is_unimplemented(error):
            raise
    with channel.told():
        answer = channel.list_statuses(request)
    return iter(sorted(_statuses_of(answer), key=lambda status: status.ref))


def _infos_of(message: wire.ListContentResponse) -> list[Info]:
    return list(map(as_info, message.info))


def _statuses_of(message: wire.ListStatusesResponse) -> list[Status]:
    return list(map(as_status, message.statuses))


def _flat(channel: Channel, messages: Iterator[list[Record]]) -> Iterator[Record]:
    """Wait for the first message, so that what is wrong is told now; the others come as needed."""

    def following() -> list[Record] | None:
        with channel.told():
            return next(messages, None)

    return chain.from_iterable(chain((following() or (),), iter(following, None)))
