"""A server that answers whatever a test wants it to."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc

from contentdb.server.rpcs import SERVICE
from contentdb.store.connect import RemoteStore, connect
from contentdb.wire import content_pb2 as wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["lying"]

_SHAPES: dict[str, tuple[Callable[..., Any], Any]] = {
    "Info": (grpc.unary_unary_rpc_method_handler, wire.InfoRequest),
    "Update": (grpc.unary_unary_rpc_method_handler, wire.UpdateRequest),
    "List": (grpc.unary_stream_rpc_method_handler, wire.ListContentRequest),
    "Read": (grpc.unary_stream_rpc_method_handler, wire.ReadContentRequest),
    "Status": (grpc.unary_unary_rpc_method_handler, wire.StatusRequest),
    "ListStatuses": (grpc.unary_unary_rpc_method_handler, wire.ListStatusesRequest),
    "Write": (grpc.stream_stream_rpc_method_handler, wire.WriteContentRequest),
    "Abort": (grpc.unary_unary_rpc_method_handler, wire.AbortRequest),
}


def _handler(rpc: str, answer: Callable[..., Any]) -> grpc.RpcMethodHandler[Any, Any]:
    shape, request = _SHAPES[rpc]
    handler: grpc.RpcMethodHandler[Any, Any] = shape(
        answer,
        request_deserializer=request.FromString,
        response_serializer=lambda message: message.SerializeToString(),
    )
    return handler


@contextmanager
def lying(socket_path: Path, **answers: Callable[..., Any]) -> Iterator[RemoteStore]:
    """Serve the rpcs that are named, by functions of a request and a context; gives a client."""
    socket_path.parent.mkdir(mode=0o700, exist_ok=True)
    threads = ThreadPoolExecutor(8)
    server = grpc.server(threads)
    handlers = {rpc: _handler(rpc, answer) for rpc, answer in answers.items()}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_insecure_port(f"unix:{socket_path}")
    server.start()
    try:
        with connect(str(socket_path)) as store:
            yield store
    finally:
        server.stop(None).wait()
        threads.shutdown()
