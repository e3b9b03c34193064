"""The steps common to every call.

The service finds a call's namespace and takes a place for it, counts and logs it, and translates
its errors into statuses. The rest of an rpc is a plain function of a store and a request, which
the table in `contentdb.server.rpcs` names.

The thread of the call parses its requests: see `contentdb.server.parsing`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from functools import partial
from itertools import groupby
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any, Final, Self

import grpc
from google.protobuf.empty_pb2 import Empty

from contentdb.errors import ContentDBError
from contentdb.server.context import CallContext
from contentdb.server.events import Events
from contentdb.server.leases import check_lease, under_lease
from contentdb.server.openblobs import OpenBlobs
from contentdb.server.parsing import parse_request
from contentdb.server.rpcs import BOTH, RPCS, SERVER, UNARY
from contentdb.wire.statuses import ERROR_TRAILER, Refusal, code_of, describe, shorten, text_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from types import TracebackType

    from google.protobuf.message import Message

    from contentdb.server.limits import Place, Places
    from contentdb.server.metrics import Metrics
    from contentdb.server.namespaces import Namespaces
    from contentdb.server.rpcs import Rpc
    from contentdb.store import Store
    from contentdb.store.lease import LeasedStore

__all__ = ["Service"]

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


class Service:
    """All services that are about a store, on one store per namespace."""

    def __init__(
        self, namespaces: Namespaces, places: Places, metrics: Metrics, *, read_only: bool
    ) -> None:
        self._namespaces = namespaces
        self._places = places
        self.metrics = metrics
        self._read_only = read_only
        self.blobs = OpenBlobs()
        self.events = Events()

    def close(self) -> None:
        """Close the blobs that calls left open; no call may be under way."""
        self.blobs.clear()

    def handlers(self) -> Iterator[grpc.GenericRpcHandler]:
        """Yield the handlers for a gRPC server."""
        for service, rpcs in groupby(RPCS, lambda rpc: rpc.service):
            methods = {rpc.method: self._method(rpc) for rpc in rpcs}
            yield grpc.method_handlers_generic_handler(service, methods)

    def _method(self, rpc: Rpc) -> grpc.RpcMethodHandler[Any, Any]:
        parse = partial(parse_request, rpc.parse or rpc.request.FromString)

        def handle(call: _Call, asked: object) -> Any:  # noqa: ANN401 - each rpc has its own type
            if rpc.in_context:
                return rpc.handler(call.context, call.store, asked)
            return rpc.handler(call.store, asked)

        def answer(raw: bytes, context: grpc.ServicerContext) -> Message:
            answers: list[Message] = []
            with _Call(self, rpc, context) as call:
                answers.append(handle(call, parse(raw)))
            return answers[0] if answers else Empty()  # no answer: the client has left

        def stream(raw: bytes, context: grpc.ServicerContext) -> Iterator[Message]:
            with _Call(self, rpc, context) as call:
                yield from call.send(handle(call, parse(raw)))

        def converse(raws: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[Message]:
            with _Call(self, rpc, context) as call:
                yield from call.send(handle(call, map(parse, call.receive(raws))))

        return rpc.shape(
            {UNARY: answer, SERVER: stream, BOTH: converse}[rpc.shape],
            request_deserializer=None,
            response_serializer=None if rpc.serialized else _serialize,
        )

    def context_of(self, place: Place, context: grpc.ServicerContext) -> CallContext:
        """Return what some rpcs need beside their store."""
        return CallContext(self.blobs, self.events, place, context, self._read_only)

    def enter(
        self, rpc: Rpc, context: grpc.ServicerContext, undo: list[_Undo]
    ) -> tuple[Store | LeasedStore, Place]:
        """Admit a call, or raise `Refusal`; append to ``undo`` what frees its place and store."""
        if rpc.changes and self._read_only:
            raise Refusal(grpc.StatusCode.FAILED_PRECONDITION, "this server is read-only")
        named = context.invocation_metadata()
        name = self._namespaces.find_name(named, needed=rpc.namespaced)
        place = self._places.enter(rpc.name, context.peer(), context.cancel, name)
        undo.append(place.leave)
        store = self._namespaces.enter(name)
        undo.append(partial(self._namespaces.leave, name))
        if rpc.about_lease:
            check_lease(store, named)
        if rpc.leased:
            return under_lease(store, named), place
        return store, place


class _Call:
    """The context of one call; an error in its block ends the call with a status.

    It is a class and not a generator for speed: `ctr content get` makes a call for every 32 KiB.
    """

    __slots__ = ("_began", "_context", "_place", "_rpc", "_service", "_undo", "store")

    def __init__(self, service: Service, rpc: Rpc, context: grpc.ServicerContext) -> None:
        self._service = service
        self._rpc = rpc
        self._context = context
        self._undo: list[_Undo] = []

    @property
    def context(self) -> CallContext:
        """What some rpcs need beside their store."""
        return self._service.context_of(self._place, self._context)

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
