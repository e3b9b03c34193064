"""Requests out of bytes, in the thread of their call and not in gRPC's.

gRPC's Python server ends a call whose request cannot be parsed by itself, and does not tell the
call's handler: where that is a stream, both send a status. The second one makes the one thread
raise that hands out all calls and notices the end of the server (grpcio 1.76 to 1.85, `_server.py`,
`_receive_message` and `_status`): from then on the server answers nobody, and does not stop.
So gRPC is given no parser, for no call, and the bytes come here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import grpc
from google.protobuf.message import DecodeError

from contentdb.wire.statuses import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["parse_request", "unary"]

T = TypeVar("T")


def parse_request(parse: Callable[[bytes], T], raw: bytes) -> T:
    """Parse a message, or raise `Refusal` (InvalidArgument)."""
    try:
        return parse(raw)
    except DecodeError as error:
        raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, f"malformed request: {error}") from error


def unary(
    behavior: Callable[..., Any], parse: Callable[[bytes], Any], serialize: Callable[[Any], bytes]
) -> grpc.RpcMethodHandler[Any, Any]:
    """Make the handler of a call that is one question and one answer, of another service."""

    def answer(raw: bytes, context: grpc.ServicerContext) -> Any:  # noqa: ANN401 - by rpc
        try:
            request = parse_request(parse, raw)
        except Refusal as refusal:
            context.abort(refusal.code, refusal.text)
        return behavior(request, context)

    return grpc.unary_unary_rpc_method_handler(
        answer, request_deserializer=None, response_serializer=serialize
    )
