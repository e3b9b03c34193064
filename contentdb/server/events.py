"""The service Events: tells the clients that subscribe what other calls of this server do.

Only this server's calls count: what another process does to the store is not told. Nothing is
kept for a client that subscribes later.
"""

from __future__ import annotations

from collections import deque
from threading import Condition
from time import monotonic, time_ns
from typing import TYPE_CHECKING, Final, NoReturn

import grpc

from contentdb.filters import Kind, parse
from contentdb.wire import events_pb2
from contentdb.wire.messages import set_time
from contentdb.wire.statuses import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.message import Message

    from contentdb.filters import Filter
    from contentdb.server.context import CallContext
    from contentdb.store import Store

__all__ = ["Events", "forward", "publish", "subscribe"]

_FIELDS: Final = {"topic": Kind.TEXT, "namespace": Kind.TEXT, "event": Kind.LABELS}
_MOST_UNREAD: Final = 4096
"""Events that may wait for a client to read them; one more ends its call."""


class Events:
    """Hands what happens to all that listen."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._listeners: set[_Listener] = set()
        self._closed = False

    def publish(self, namespace: str, topic: str, event: Message) -> None:
        """Tell that something has happened; it does not wait for anybody."""
        if not self._listeners:
            return
        envelope = events_pb2.Envelope(namespace=namespace, topic=topic)
        set_time(envelope.timestamp, time_ns())
        # containerd's clients find the type by its bare name, without the usual host before it
        envelope.event.type_url = event.DESCRIPTOR.full_name
        envelope.event.value = event.SerializeToString()
        item = {"topic": topic, "namespace": namespace, "event": _fields_of(event)}
        with self._changed:
            for listener in self._listeners:
                if listener.only in {None, namespace} and listener.chosen.matches(item):
                    listener.unread.append(envelope)
            self._changed.notify_all()

    def listen(
        self, call: CallContext, chosen: Filter, only: str | None
    ) -> Iterator[events_pb2.Envelope]:
        """Yield the chosen events from now on, until the client leaves or the server stops.

        Args:
            call: What listens.
            chosen: Selects the events.
            only: The one namespace whose events these are; None for all.
        """
        listener = _Listener(chosen, only)
        call.grpc.add_callback(self._wake)
        with self._changed:
            self._listeners.add(listener)
        try:
            while True:
                call.place.silent_since = monotonic()  # so that it gives way when places are short
                with self._changed:
                    self._changed.wait_for(
                        lambda: listener.unread or self._closed or not call.grpc.is_active()
                    )
                if listener.has_lost:
                    reason = f"more than {_MOST_UNREAD} events wait to be read: subscribe again"
                    raise Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, reason)
                if not listener.unread:
                    return
                yield listener.unread.popleft()
        finally:
            with self._changed:
                self._listeners.discard(listener)

    def close(self) -> None:
        """Let all that listen end; what they have not read yet is sent first."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


class _Listener:
    """One subscription."""

    __slots__ = ("chosen", "only", "unread")

    def __init__(self, chosen: Filter, only: str | None) -> None:
        self.chosen = chosen
        self.only = only
        self.unread: deque[events_pb2.Envelope] = deque(maxlen=_MOST_UNREAD + 1)

    @property
    def has_lost(self) -> bool:
        """Whether there were more events than may wait."""
        return len(self.unread) > _MOST_UNREAD


def _fields_of(event: Message) -> dict[str, str]:
    """Return an event's fields by the names that filters use: ``name``, ``labels.KEY``."""
    fields: dict[str, str] = {}
    for descriptor, value in event.ListFields():
        if descriptor.message_type is not None:
            fields |= {f"{descriptor.name}.{key}": text for key, text in value.items()}
        else:
            fields[descriptor.name] = str(value)
    return fields


def subscribe(
    call: CallContext, store: Store, request: events_pb2.SubscribeRequest
) -> Iterator[events_pb2.Envelope]:
    """Stream the events that the filters choose, of all namespaces.

    Where namespaces are isolated it streams those of the call's own, since an event tells that a
    namespace has some content.
    """
    chosen = parse(*request.filters, fields=_FIELDS)
    only = store.namespace if store.sharing == "isolated" else None
    yield from call.events.listen(call, chosen, only)


def publish(store: Store, request: events_pb2.PublishRequest) -> NoReturn:  # noqa: ARG001 - every rpc has one
    """Refuse: the events are this server's own."""
    raise _refuse(request.topic)


def forward(store: Store, request: events_pb2.ForwardRequest) -> NoReturn:  # noqa: ARG001 - as above
    """Refuse: the events are this server's own."""
    raise _refuse(request.envelope.topic)


def _refuse(topic: str) -> Refusal:
    return Refusal(
        grpc.StatusCode.UNIMPLEMENTED,
        f"{topic:.80}: this server tells of its own events, and takes none from clients",
    )
