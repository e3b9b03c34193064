"""Listings: joins a server's messages of several records into one stream of records."""

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

__all__ = ["flatten", "list_infos", "list_statuses"]

Record = TypeVar("Record")


def list_infos(channel: Channel, request: wire.ListContentRequest) -> Iterator[Info]:
    """List blobs. The first message has arrived on return, so the listing is as of this call."""
    return flatten(channel, map(_infos_of, channel.list_content(request)))


def list_statuses(channel: Channel, request: wire.ListStatusesRequest) -> Iterator[Status]:
    """List ingests in order of their refs.

    A contentdb server streams them; containerd's rpc answers with one message, in any order.
    """
    try:
        return flatten(channel, map(_statuses_of, channel.stream_statuses(request)))
    except StoreError as error:
        if not is_unimplemented(error):
            raise
    with channel.translate_errors():
        answer = channel.list_statuses(request)
    return iter(sorted(_statuses_of(answer), key=lambda status: status.ref))


def _infos_of(message: wire.ListContentResponse) -> list[Info]:
    return list(map(as_info, message.info))


def _statuses_of(message: wire.ListStatusesResponse) -> list[Status]:
    return list(map(as_status, message.statuses))


def flatten(channel: Channel, messages: Iterator[list[Record]]) -> Iterator[Record]:
    """Wait for the first message, so that errors are raised now; fetch the others as needed."""

    def next_message() -> list[Record] | None:
        with channel.translate_errors():
            return next(messages, None)

    return chain.from_iterable(chain((next_message() or (),), iter(next_message, None)))
