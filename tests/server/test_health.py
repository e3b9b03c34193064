"""gRPC's Health service, which anything that starts servers asks."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from contentdb.server.daemon import Server
from contentdb.server.limits import Limits
from contentdb.server.rpcs import SERVICE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN

WATCH = (
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/grpc.health.v1.Health/Watch"),
    (":authority", "localhost"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
)
NO_WINDOW = b"\0\x04\0\0\0\0"
"""SETTINGS_INITIAL_WINDOW_SIZE of 0 (RFC 9113, 6.5.2): nothing may be sent to this client."""


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A frame of HTTP/2 (RFC 9113, 4.1)."""
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def literal(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()


def request_of(service: str) -> health_pb2.HealthCheckRequest:
    return health_pb2.HealthCheckRequest(service=service)


@pytest.fixture
def health(served: Path) -> Iterator[health_pb2_grpc.HealthStub]:
    with grpc.insecure_channel(f"unix:{served}") as channel:
        yield health_pb2_grpc.HealthStub(channel)


def test_it_tells_of_the_server_and_of_its_service(health: health_pb2_grpc.HealthStub) -> None:
    for name in ("", SERVICE):
        assert health.Check(request_of(name)).status == SERVING
        assert next(health.Watch(request_of(name))).status == SERVING


def test_of_no_other(health: health_pb2_grpc.HealthStub) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        health.Check(request_of("other"))
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert next(health.Watch(request_of("other"))).status == SERVICE_UNKNOWN


def test_those_who_watch_are_told_of_the_end(tmp_path: Path, socket_path: Path) -> None:
    with (
        Server(tmp_path / "store") as server,
        grpc.insecure_channel(f"unix:{socket_path}") as channel,
    ):
        server.listen_unix(socket_path)
        server.start()
        watch = health_pb2_grpc.HealthStub(channel).Watch(request_of(SERVICE))
        assert next(watch).status == SERVING
        assert server.stop(grace_s=60)
        assert [answer.status for answer in watch] == [NOT_SERVING]


def test_a_watch_that_was_left_frees_its_place(tmp_path: Path, socket_path: Path) -> None:
    with Server(tmp_path / "store", limits=Limits(calls=1, silence_s=1e9)) as server:
        server.listen_unix(socket_path)
        server.start()
        for _ in range(3):
            with grpc.insecure_channel(f"unix:{socket_path}") as channel:
                watch = health_pb2_grpc.HealthStub(channel).Watch(
                    request_of(""), wait_for_ready=True
                )
                while (answer := next(_told(watch), None)) is None:  # the last one is leaving
                    watch = health_pb2_grpc.HealthStub(channel).Watch(request_of(""))
                assert answer.status == SERVING
                watch.cancel()


def _told(watch: Any) -> Iterator[health_pb2.HealthCheckResponse]:  # noqa: ANN401 - a gRPC call
    try:
        yield from watch
    except grpc.RpcError as error:
        call: Any = error
        assert call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_client_that_takes_no_answer_keeps_neither_others_nor_the_end(
    tmp_path: Path, socket_path: Path
) -> None:
    with Server(tmp_path / "store") as server, socket.socket(socket.AF_UNIX) as raw:
        server.listen_unix(socket_path)
        server.start()
        raw.connect(str(socket_path))
        headers = b"".join(b"\0" + literal(name) + literal(value) for name, value in WATCH)
        raw.sendall(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            + frame(4, 0, 0, NO_WINDOW)
            + frame(1, 4, 1, headers)
            + frame(0, 1, 1, bytes(5))
        )
        while b"grpc" not in raw.recv(1 << 16):  # the headers of its answer
            pass
        with grpc.insecure_channel(f"unix:{socket_path}") as channel:
            health = health_pb2_grpc.HealthStub(channel)
            assert health.Check(request_of("")).status == SERVING
        assert server.stop(grace_s=0)
