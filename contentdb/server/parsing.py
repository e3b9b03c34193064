"""Parses requests in the thread of their call, not in gRPC's.

When a request cannot be parsed, gRPC's Python server ends the call without telling the call's
handler; for a stream, both then send a status. The second status raises in the only thread that
dispatches calls and stops the server (grpcio 1.76 to 1.85, `_server.py`, `_receive_message` and
`_status`): the server answers no further call and cannot be stopped. So gRPC gets no parser for
any call, and hands the bytes to this module.
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
    """Make the handler of another service's rpc with one request and one answer."""

    def answer(raw: bytes, context: grpc.ServicerContext) -> Any:  # noqa: ANN401 - each rpc has its own type
        try:
            request = parse_request(parse, raw)
        except Refusal as refusal:
            context.abort(refusal.code, refusal.text)
        return behavior(request, context)

    return grpc.unary_unary_rpc_method_handler(
        answer, request_deserializer=None, response_serializer=serialize
    )
