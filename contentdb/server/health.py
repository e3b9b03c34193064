"""gRPC's Health service: reports whether this server serves.

grpcio's own implementation sends to watching clients under a lock that all its calls and the
server's stop take: a client that does not read would block the stop. Here each watching call
has a thread and a place like every other call.
"""

from __future__ import annotations

from threading import Condition
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from contentdb.server.parsing import parse_request
from contentdb.wire.statuses import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentdb.server.limits import Places

__all__ = ["Health"]

_WATCH: Final = "Health.Watch"


class Health:
    """Reports one status for the server and for each of its services."""

    def __init__(self, places: Places, services: frozenset[str]) -> None:
        self._places = places
        self._services = services | {""}
        self._serving = False
        self._changed = Condition()

    def handler(self) -> grpc.GenericRpcHandler:
        """Return the handlers for a gRPC server."""
        raw: dict[str, Any] = {
            "request_deserializer": None,
            "response_serializer": HealthCheckResponse.SerializeToString,
        }
        return grpc.method_handlers_generic_handler(
            "grpc.health.v1.Health",
            {
                "Check": grpc.unary_unary_rpc_method_handler(self._check, **raw),
                "Watch": grpc.unary_stream_rpc_method_handler(self._watch, **raw),
            },
        )

    def set(self, *, serving: bool) -> None:
        """Set the status; watching calls send it, and end when the server no longer serves."""
        with self._changed:
            self._serving = serving
            self._changed.notify_all()

    def _check(self, raw: bytes, context: grpc.ServicerContext) -> HealthCheckResponse:
        service = _service_of(raw, context)
        if service not in self._services:
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return HealthCheckResponse(status=self._status_of(service))

    def _watch(self, raw: bytes, context: grpc.ServicerContext) -> Iterator[HealthCheckResponse]:
        service = _service_of(raw, context)
        try:
            place = self._places.enter(_WATCH, context.peer(), context.cancel)
        except Refusal as refusal:
            context.abort(refusal.code, refusal.text)
        context.add_callback(self._wake)
        place.silent_since = monotonic()
        try:
            yield HealthCheckResponse(status=self._status_of(service))
            with self._changed:
                self._changed.wait_for(lambda: not (self._serving and context.is_active()))
            yield HealthCheckResponse(status=self._status_of(service))
        finally:
            place.leave()

    def _status_of(self, service: str) -> HealthCheckResponse.ServingStatus:
        if service not in self._services:
            return HealthCheckResponse.SERVICE_UNKNOWN
        return HealthCheckResponse.SERVING if self._serving else HealthCheckResponse.NOT_SERVING

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


def _service_of(raw: bytes, context: grpc.ServicerContext) -> str:
    try:
        service: str = parse_request(HealthCheckRequest.FromString, raw).service
    except Refusal as refusal:
        context.abort(refusal.code, refusal.text)
    return service
