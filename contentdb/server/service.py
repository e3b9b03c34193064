"""The table of rpcs, and the steps common to every call.

The service finds a call's namespace and takes a place for it, counts and logs it, and translates
its errors into statuses. The rest of an rpc is a plain function of a store and a request, in one
of the neighbouring modules.

The thread of the call parses its requests: see `contentdb.server.parsing`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from functools import partial
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import grpc
from google.protobuf.empty_pb2 import Empty

from contentdb.errors import ContentDBError
from contentdb.server import changing, reading, writing
from contentdb.server.openblobs import OpenBlobs
from contentdb.server.parsing import parse_request
from contentdb.wire import content_pb2 as wire
from contentdb.wire.framing import take_apart
from contentdb.wire.messages import OWN_SERVICE
from contentdb.wire.statuses import ERROR_TRAILER, Refusal, code_of, describe, shorten, text_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from types import TracebackType

    from google.protobuf.message import Message

    from contentdb.server.limits import Place, Places
    from contentdb.server.metrics import Metrics
    from contentdb.server.namespaces import Namespaces
    from contentdb.store import Store

__all__ = ["SERVICE", "Service"]

SERVICE: Final = "containerd.services.content.v1.Content"

_log = logging.getLogger("contentdb.server")

_OUR_FAULT: Final = frozenset(
    {
        grpc.StatusCode.DATA_LOSS,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.UNKNOWN,
    }
)


_Undo = Callable[[], object]


class _Rpc(NamedTuple):
    name: str
    handler: Callable[..., Any]
    request: type[Message]
    shape: Callable[..., grpc.RpcMethodHandler[Any, Any]]
    changes: bool = False
    serialized: bool = False
    """Whether the handler returns serialized messages."""
    opens: bool = False
    """Whether the handler's first argument is the `OpenBlobs`, before the store."""
    parse: Callable[[bytes], Any] | None = None
    """Replaces the request class's own parser."""
    service: str = SERVICE


_UNARY: Final = grpc.unary_unary_rpc_method_handler
_SERVER: Final = grpc.unary_stream_rpc_method_handler
_BOTH: Final = grpc.stream_stream_rpc_method_handler

_RPCS: Final = (
    _Rpc("Info", reading.info, wire.InfoRequest, _UNARY),
    _Rpc("Update", changing.update, wire.UpdateRequest, _UNARY, changes=True),
    _Rpc("List", reading.list_content, wire.ListContentRequest, _SERVER),
    _Rpc("Delete", changing.delete, wire.DeleteContentRequest, _UNARY, changes=True, opens=True),
    _Rpc("Read", reading.read, wire.ReadContentRequest, _SERVER, serialized=True, opens=True),
    _Rpc("Status", reading.status, wire.StatusRequest, _UNARY),
    _Rpc("ListStatuses", reading.list_statuses, wire.ListStatusesRequest, _UNARY),
    _Rpc("Write", writing.write, wire.WriteContentRequest, _BOTH, changes=True, parse=take_apart),
    _Rpc("Abort", changing.abort, wire.AbortRequest, _UNARY, changes=True),
    _Rpc(
        "StreamStatuses",
        reading.stream_statuses,
        wire.ListStatusesRequest,
        _SERVER,
        service=OWN_SERVICE,
    ),
)


class Service:
    """containerd's Content service, on one store per namespace."""

    def __init__(
        self, namespaces: Namespaces, places: Places, metrics: Metrics, *, read_only: bool
    ) -> None:
        self._namespaces = namespaces
        self._places = places
        self.metrics = metrics
        self._read_only = read_only
        self._blobs = OpenBlobs()

    def close(self) -> None:
        """Close the blobs that calls left open; no call may be under way."""
        self._blobs.clear()

    def handlers(self) -> Iterator[grpc.GenericRpcHandler]:
        """Yield the handlers for a gRPC server."""
        for service in (SERVICE, OWN_SERVICE):
            methods = {rpc.name: self._method(rpc) for rpc in _RPCS if rpc.service == service}
            yield grpc.method_handlers_generic_handler(service, methods)

    def _method(self, rpc: _Rpc) -> grpc.RpcMethodHandler[Any, Any]:
        handler = partial(rpc.handler, self._blobs) if rpc.opens else rpc.handler
        parse = partial(parse_request, rpc.parse or rpc.request.FromString)

        def answer(raw: bytes, context: grpc.ServicerContext) -> Message:
            answers: list[Message] = []
            with _Call(self, rpc, context) as call:
                answers.append(handler(call.store, parse(raw)))
            return answers[0] if answers else Empty()  # no answer: the client has left

        def stream(raw: bytes, context: grpc.ServicerContext) -> Iterator[Message]:
            with _Call(self, rpc, context) as call:
                yield from call.send(handler(call.store, parse(raw)))

        def converse(raws: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[Message]:
            with _Call(self, rpc, context) as call:
                yield from call.send(handler(call.store, map(parse, call.receive(raws))))

        return rpc.shape(
            {_UNARY: answer, _SERVER: stream, _BOTH: converse}[rpc.shape],
            request_deserializer=None,
            response_serializer=None if rpc.serialized else _serialize,
        )

    def enter(
        self, rpc: _Rpc, context: grpc.ServicerContext, undo: list[_Undo]
    ) -> tuple[Store, Place]:
        """Admit a call, or raise `Refusal`; append to ``undo`` what frees its place and store."""
        if rpc.changes and self._read_only:
            raise Refusal(grpc.StatusCode.FAILED_PRECONDITION, "this server is read-only")
        name = self._namespaces.find_name(context.invocation_metadata())
        place = self._places.enter(rpc.name, context.peer(), context.cancel, name)
        undo.append(place.leave)
        store = self._namespaces.enter(name)
        undo.append(partial(self._namespaces.leave, name))
        return store, place


class _Call:
    """The context of one call; an error in its block ends the call with a status.

    It is a class and not a generator for speed: `ctr content get` makes a call for every 32 KiB.
    """

    __slots__ = ("_began", "_context", "_place", "_rpc", "_service", "_undo", "store")

    def __init__(self, service: Service, rpc: _Rpc, context: grpc.ServicerContext) -> None:
        self._service = service
        self._rpc = rpc
        self._context = context
        self._undo: list[_Undo] = []

    def receive(self, raws: Iterator[bytes]) -> Iterator[bytes]:
        """Yield a stream's requests; record since when the client is silent."""
        place = self._place
        while True:
            place.silent_since = monotonic()
            raw = next(raws, None)
            place.silent_since = None
            if raw is None:
                return
            yield raw

    def send(self, messages: Generator[Message]) -> Iterator[Message]:
        """Yield a stream's answers; record since when the client does not read."""
        place = self._place
        with closing(messages):
            for message in messages:
                place.silent_since = monotonic()
                yield message
                place.silent_since = None

    def __enter__(self) -> Self:
        self._began = perf_counter()
        self._service.metrics.began(self._rpc.name)
        try:
            self.store, self._place = self._service.enter(self._rpc, self._context, self._undo)
        except Exception as error:
            self.__exit__(type(error), error, None)
            raise  # not reached: `__exit__` has aborted the call
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        for leave in reversed(self._undo):
            leave()
        code, text = grpc.StatusCode.OK, ""
        if isinstance(error, Exception):
            code, text = _choose_status(error, self._context)
        elif error is not None:  # gRPC closed the generator: the client has left
            code = grpc.StatusCode.CANCELLED
        seconds = perf_counter() - self._began
        self._service.metrics.ended(self._rpc.name, code.name, seconds)
        _report(self._rpc.name, code, text, seconds)
        if isinstance(error, Exception) and code is not grpc.StatusCode.CANCELLED:
            self._context.abort(code, shorten(text))
        return isinstance(error, Exception)


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()


def _choose_status(error: Exception, context: grpc.ServicerContext) -> tuple[grpc.StatusCode, str]:
    """Return a failed call's status and text, and send the store's error in a trailer."""
    known = error.__cause__ if isinstance(error, Refusal) else error
    if isinstance(known, ContentDBError):
        context.set_trailing_metadata(((ERROR_TRAILER, describe(known)),))
    if isinstance(error, Refusal):
        return error.code, error.text
    if isinstance(error, ContentDBError):
        return code_of(error), text_of(error)
    if not context.is_active():  # the stream of requests raises when its client leaves
        return grpc.StatusCode.CANCELLED, ""
    _log.error("unexpected error", exc_info=error)
    return grpc.StatusCode.INTERNAL, "internal error; see the server's log"


def _report(rpc: str, code: grpc.StatusCode, text: str, seconds: float) -> None:
    level = logging.ERROR if code in _OUR_FAULT else logging.DEBUG
    if _log.isEnabledFor(level):
        facts = {"rpc": rpc, "code": code.name, "ms": round(seconds * 1000, 3), "text": text}
        _log.log(level, "call", extra={"facts": facts})
