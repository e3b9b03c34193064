"""The other rpcs, and what every call goes through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest

import contentdb
from contentdb.digest import Digest
from contentdb.remote.channel import Channel
from contentdb.server.daemon import Server
from contentdb.wire import content_pb2 as wire

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HELLO = Digest.of(b"hello")


def code_of(call: Callable[[], object]) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    code: grpc.StatusCode = error.code()
    return code


def put(channel: Channel, data: bytes, ref: str = "r") -> Digest:
    request = wire.WriteContentRequest(action=wire.COMMIT, ref=ref, data=data)
    (answer,) = channel.write(iter([request]))
    return Digest(answer.digest)


def read(channel: Channel, offset: int = 0, size: int = 0) -> bytes:
    request = wire.ReadContentRequest(digest=HELLO, offset=offset, size=size)
    return b"".join(message.data for message in channel.read(request))


@pytest.mark.parametrize(
    ("offset", "size", "data"),
    [
        (0, 0, b"hello"),
        (-3, -1, b"hello"),
        (1, 3, b"ell"),
        (1, 99, b"ello"),
        (5, 0, b""),
    ],
)
def test_read_gives_the_range(channel: Channel, offset: int, size: int, data: bytes) -> None:
    put(channel, b"hello")
    assert read(channel, offset, size) == data


def test_read_behind_the_end_is_refused(channel: Channel) -> None:
    put(channel, b"hello")
    assert code_of(lambda: read(channel, 6)) is grpc.StatusCode.OUT_OF_RANGE


def test_read_sends_a_mebibyte_a_message_and_counts_from_the_start(channel: Channel) -> None:
    digest = put(channel, bytes(3 << 20))
    request = wire.ReadContentRequest(digest=digest, offset=10, size=2 << 20)
    assert [(one.offset, len(one.data)) for one in channel.read(request)] == [
        (0, 1 << 20),
        (1 << 20, 1 << 20),
    ]


def test_an_empty_blob_sends_no_message(channel: Channel) -> None:
    request = wire.ReadContentRequest(digest=put(channel, b""))
    assert list(channel.read(request)) == []


def test_messages_of_nearly_16_mib_pass(channel: Channel) -> None:
    data = bytes((16 << 20) - 1024)
    assert put(channel, data) == Digest.of(data)


def test_larger_messages_are_refused(channel: Channel) -> None:
    code = code_of(lambda: put(channel, bytes(16 << 20)))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_list_sends_a_hundred_a_message(channel: Channel) -> None:
    assert list(channel.list_content(wire.ListContentRequest())) == []
    digests = sorted(put(channel, b"%d" % number) for number in range(101))
    pages = list(channel.list_content(wire.ListContentRequest(filters=[""])))
    assert [len(page.info) for page in pages] == [100, 1]
    assert [info.digest for page in pages for info in page.info] == digests


def test_a_filter_that_does_not_parse_is_refused(channel: Channel) -> None:
    request = wire.ListContentRequest(filters=["labels.x==="])
    assert code_of(lambda: list(channel.list_content(request))) is grpc.StatusCode.INVALID_ARGUMENT


def test_update_replaces_or_sets_what_the_mask_names(channel: Channel) -> None:
    digest = put(channel, b"hello")

    def update(labels: dict[str, str], *paths: str) -> dict[str, str]:
        request = wire.UpdateRequest(info=wire.Info(digest=digest, labels=labels))
        request.update_mask.paths.extend(paths)
        return dict(channel.update(request).info.labels)

    assert update({"a": "1", "b.c/d": "2"}) == {"a": "1", "b.c/d": "2"}
    assert update({"a": "3", "x": "ignored"}, "labels.a") == {"a": "3", "b.c/d": "2"}
    assert update({"b.c/d": ""}, "labels.b.c/d", "labels.none") == {"a": "3"}
    assert update({"n": "1"}, "labels") == {"n": "1"}
    refused = code_of(lambda: update({"n": "2"}, "labels.n", "size"))
    assert refused is grpc.StatusCode.INVALID_ARGUMENT
    assert update({}, "labels.other") == {"n": "1"}


@pytest.mark.parametrize("text", ["nonsense", "sha256:abc", "md5:" + 32 * "0", ""])
def test_what_is_no_digest_is_refused(channel: Channel, text: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: channel.info(wire.InfoRequest(digest=text)),
        lambda: list(channel.read(wire.ReadContentRequest(digest=text))),
        lambda: channel.delete(wire.DeleteContentRequest(digest=text)),
        lambda: channel.update(wire.UpdateRequest(info=wire.Info(digest=text))),
    ]
    for call in calls:
        assert code_of(call) is grpc.StatusCode.INVALID_ARGUMENT


def test_what_is_absent_is_not_found(channel: Channel) -> None:
    calls: list[Callable[[], object]] = [
        lambda: channel.info(wire.InfoRequest(digest=HELLO)),
        lambda: list(channel.read(wire.ReadContentRequest(digest=HELLO))),
        lambda: channel.delete(wire.DeleteContentRequest(digest=HELLO)),
        lambda: channel.update(wire.UpdateRequest(info=wire.Info(digest=HELLO))),
        lambda: channel.status(wire.StatusRequest(ref="r")),
        lambda: channel.abort(wire.AbortRequest(ref="r")),
    ]
    for call in calls:
        assert code_of(call) is grpc.StatusCode.NOT_FOUND


def test_namespaces_see_their_own_rows(served: Path, channel: Channel) -> None:
    put(channel, b"hello")
    other = Channel(str(served), "other", None)
    assert code_of(lambda: other.info(wire.InfoRequest(digest=HELLO))) is grpc.StatusCode.NOT_FOUND
    put(other, b"hello")
    channel.delete(wire.DeleteContentRequest(digest=HELLO))
    assert other.info(wire.InfoRequest(digest=HELLO)).info.size == 5
    other.close()


@pytest.mark.parametrize(
    ("name", "code", "text"),
    [
        ("", grpc.StatusCode.FAILED_PRECONDITION, "namespace is required"),
        ("a_-b", grpc.StatusCode.INVALID_ARGUMENT, "must match"),
        ("a" * 77, grpc.StatusCode.INVALID_ARGUMENT, "maximum length"),
    ],
)
def test_a_call_names_a_namespace(
    served: Path, name: str, code: grpc.StatusCode, text: str
) -> None:
    channel = Channel(str(served), name, None)
    with pytest.raises(grpc.RpcError, match=text) as caught:
        channel.info(wire.InfoRequest(digest=HELLO))
    error: Any = caught.value
    assert error.code() is code
    channel.close()


def test_calls_without_a_namespace_go_to_the_default_one(tmp_path: Path, socket_path: Path) -> None:
    with Server(tmp_path / "store", default_namespace="plugin") as server:
        server.listen_unix(socket_path)
        server.start()
        channel = Channel(str(socket_path), "", None)
        put(channel, b"hello")
        channel.close()
    with contentdb.open(tmp_path / "store", namespace="plugin") as store:
        assert store.exists(HELLO)


def test_a_read_only_server_changes_nothing(tmp_path: Path, socket_path: Path) -> None:
    with contentdb.open(tmp_path / "store") as store:
        store.add(b"hello")
    with Server(tmp_path / "store", read_only=True) as server:
        server.listen_unix(socket_path)
        server.start()
        channel = Channel(str(socket_path), "default", None)
        assert read(channel) == b"hello"
        calls: list[Callable[[], object]] = [
            lambda: put(channel, b"more"),
            lambda: channel.delete(wire.DeleteContentRequest(digest=HELLO)),
            lambda: channel.update(wire.UpdateRequest(info=wire.Info(digest=HELLO))),
            lambda: channel.abort(wire.AbortRequest(ref="r")),
        ]
        for call in calls:
            assert code_of(call) is grpc.StatusCode.FAILED_PRECONDITION
        channel.close()
