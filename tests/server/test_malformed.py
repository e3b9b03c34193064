"""Bytes that are no message: their call is refused, and nothing else notices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest

from contentdb.remote.channel import Channel
from contentdb.server.daemon import Server
from contentdb.store.connect import connect
from contentdb.wire import content_pb2 as wire

if TYPE_CHECKING:
    from pathlib import Path

NAMESPACE = (("containerd-namespace", "default"),)
CONTENT = "/containerd.services.content.v1.Content/"
UNARY = ["Info", "Update", "Delete", "Status", "ListStatuses", "Abort"]
RUBBISH = b"\xff\xff\xff\xff\xff"
FIRST = wire.WriteContentRequest(action=wire.STAT, ref="r").SerializeToString()
TIMES = 25
"""gRPC's own parsing failed most but not all times."""


def code_of(error: grpc.RpcError) -> grpc.StatusCode:
    call: Any = error
    code: grpc.StatusCode = call.code()
    return code


@pytest.mark.parametrize(
    "messages", [[RUBBISH], [RUBBISH] * 3, [FIRST, RUBBISH], [FIRST, RUBBISH, RUBBISH]]
)
def test_a_stream_with_rubbish_ends_alone(
    tmp_path: Path, socket_path: Path, messages: list[bytes]
) -> None:
    """The server answers the others, frees the ref, and stops when it is told to."""
    with Server(tmp_path / "store") as server, connect(str(socket_path)) as other:
        server.listen_unix(socket_path)
        server.start()
        with grpc.insecure_channel(f"unix:{socket_path}") as channel:
            write: Any = channel.stream_stream(f"{CONTENT}Write")
            for _ in range(TIMES):
                with pytest.raises(grpc.RpcError, match="malformed") as caught:
                    list(write(iter(messages), metadata=NAMESPACE))
                assert code_of(caught.value) is grpc.StatusCode.INVALID_ARGUMENT
        with other.writer("r", resume=True) as writer:
            assert writer.offset == 0
        assert server.stop(grace_s=0)


@pytest.mark.parametrize(
    "path",
    [
        *(f"{CONTENT}{rpc}" for rpc in UNARY),
        "/grpc.health.v1.Health/Check",
        "/containerd.services.version.v1.Version/Version",
    ],
)
def test_a_question_that_is_rubbish_is_refused(
    tmp_path: Path, socket_path: Path, path: str
) -> None:
    with Server(tmp_path / "store") as server:
        server.listen_unix(socket_path)
        server.start()
        with grpc.insecure_channel(f"unix:{socket_path}") as channel:
            ask: Any = channel.unary_unary(path)
            for _ in range(TIMES):
                with pytest.raises(grpc.RpcError, match="malformed") as caught:
                    ask(RUBBISH, metadata=NAMESPACE)
                assert code_of(caught.value) is grpc.StatusCode.INVALID_ARGUMENT
        assert server.stop(grace_s=0)


@pytest.mark.parametrize(
    "path", [f"{CONTENT}List", f"{CONTENT}Read", "/grpc.health.v1.Health/Watch"]
)
def test_a_listing_that_is_rubbish_is_refused(tmp_path: Path, socket_path: Path, path: str) -> None:
    with Server(tmp_path / "store") as server:
        server.listen_unix(socket_path)
        server.start()
        with grpc.insecure_channel(f"unix:{socket_path}") as channel:
            ask: Any = channel.unary_stream(path)
            for _ in range(TIMES):
                with pytest.raises(grpc.RpcError, match="malformed") as caught:
                    list(ask(RUBBISH, metadata=NAMESPACE))
                assert code_of(caught.value) is grpc.StatusCode.INVALID_ARGUMENT
        assert server.stop(grace_s=0)


def test_an_empty_message_is_one(served: Path) -> None:
    channel = Channel(str(served), "default", None)
    with grpc.insecure_channel(f"unix:{served}") as raw:
        ask: Any = raw.unary_unary(f"{CONTENT}ListStatuses")
        listed = ask(b"", metadata=NAMESPACE)
    assert wire.ListStatusesResponse.FromString(listed) == channel.list_statuses(
        wire.ListStatusesRequest()
    )
    channel.close()
