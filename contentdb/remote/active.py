"""What is coming in at a server: how far it is, and dropping it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentdb.refs import check_namespace, check_ref
from contentdb.remote.believing import as_status
from contentdb.remote.channel import Channel
from contentdb.remote.listing import list_statuses
from contentdb.wire import content_pb2 as wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentdb.content import Status
    from contentdb.remote.channel import Credentials

__all__ = ["Active"]


class Active:
    """Plays `contentdb.content.IngestManager` over a connection."""

    def __init__(
        self, address: str, *, namespace: str, credentials: Credentials | None = None
    ) -> None:
        self.address = address
        self.namespace = check_namespace(namespace)
        self._credentials = credentials
        self._channel = Channel(address, namespace, credentials)

    def status(self, ref: str) -> Status:
        """One ingest. A containerd does not tell whether it is held: False."""
        with self._channel.told(ref=check_ref(ref)):
            answer = self._channel.status(wire.StatusRequest(ref=ref))
        return as_status(answer.status, asked=ref)

    def statuses(self, *filters: str) -> Iterator[Status]:
        """Those that any of the filters selects, by ref."""
        from contentdb.filters import INGEST_FIELDS, parse  # 2 ms that most commands need not spend

        parse(*filters, fields=INGEST_FIELDS)
        return list_statuses(self._channel, wire.ListStatusesRequest(filters=filters))

    def abort(self, ref: str) -> None:
        """Drop an ingest."""
        with self._channel.told(ref=check_ref(ref)):
            self._channel.abort(wire.AbortRequest(ref=ref))
