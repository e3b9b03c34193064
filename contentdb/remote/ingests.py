"""Status and removal of the ingests on a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentdb.remote.believing import as_status
from contentdb.remote.channel import Channel
from contentdb.remote.listing import list_statuses
from contentdb.wire import content_pb2 as wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentdb.content import Status
    from contentdb.filters import Filter
    from contentdb.remote.channel import Credentials

__all__ = ["Ingests"]


class Ingests:
    """The engine's part of `contentdb.content.IngestManager`, over a connection."""

    def __init__(self, address: str, namespace: str, credentials: Credentials | None) -> None:
        self.place = address
        self.namespace = namespace
        self.credentials = credentials
        self._channel = Channel(address, namespace, credentials)

    def status(self, ref: str) -> Status:
        """Return one ingest's Status. A containerd does not report ``held``: it is False."""
        with self._channel.translate_errors(ref=ref):
            answer = self._channel.status(wire.StatusRequest(ref=ref))
        return as_status(answer.status, asked=ref)

    def statuses(self, chosen: Filter, texts: tuple[str, ...]) -> Iterator[Status]:  # noqa: ARG002 - the server parses the texts
        """Stream the ingests that the filters select, in order of their refs."""
        return list_statuses(self._channel, wire.ListStatusesRequest(filters=texts))

    def abort(self, ref: str) -> None:
        """Remove an ingest."""
        with self._channel.translate_errors(ref=ref):
            self._channel.abort(wire.AbortRequest(ref=ref))
