"""Listings are sent in messages that are bounded by their bytes."""

from __future__ import annotations

from itertools import product
from string import ascii_letters
from typing import TYPE_CHECKING, Any

import grpc
import pytest

import contentdb
from contentdb.server import reading
from contentdb.store.connect import connect
from contentdb.wire import content_pb2 as wire
from contentdb.wire.messages import from_info
from tests.remote.lying import lying

if TYPE_CHECKING:
    from pathlib import Path

    from contentdb.remote.channel import Channel

MIB = 1 << 20
GO_BYTES = 4 * MIB
"""What a client of grpc-go takes in one message unless it was told otherwise."""


def fill(root: Path, count: int, labels: dict[str, str]) -> None:
    with contentdb.open(root, durability="process") as store:
        for number in range(count):
            store.add(b"%d" % number, labels=labels)


def test_blobs_with_many_labels_are_listed(tmp_path: Path, served: Path, channel: Channel) -> None:
    """As many messages as it takes: what each blob may have must not add up."""
    labels = {f"k{number}": "v" * 4000 for number in range(128)}
    fill(tmp_path / "store", 20, labels)
    messages = list(channel.list_content(wire.ListContentRequest()))
    assert sum(len(message.info) for message in messages) == 20
    assert max(message.ByteSize() for message in messages) < 2 * MIB
    with connect(str(served)) as store:
        assert [info.labels == labels for info in store.walk()] == [True] * 20


@pytest.mark.parametrize("text", ["", "\N{SNOWMAN}"])
def test_no_blob_has_labels_that_a_message_cannot_hold(text: str) -> None:
    """A mebibyte of the shortest labels takes the most around them."""
    keys = map("".join, product(ascii_letters, repeat=3))
    size = 4 + 2 * len(text.encode())
    labels = {text + key: text + "v" for key, _ in zip(keys, range(MIB // size), strict=False)}
    info = contentdb.Info(contentdb.Digest.of(b""), 1 << 62, 1 << 62, 1 << 62, labels)
    assert from_info(info).ByteSize() < reading._weight_of(info) < GO_BYTES


@pytest.fixture
def long_refs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Forty ingests, and messages that hold ten."""
    monkeypatch.setattr(reading, "_BYTES_PER_MESSAGE", 50_000)
    monkeypatch.setattr("contentdb.server.limits._MOST_ANSWER_BYTES", 50_000)
    refs = [f"{number:02d}" + "r" * 4094 for number in range(40)]
    with contentdb.open(tmp_path / "store", durability="process") as store:
        for ref in refs:
            store.writer(ref, total=1).close()
    return refs


def test_ingests_with_long_refs_are_listed(
    long_refs: list[str], served: Path, channel: Channel
) -> None:
    messages = list(channel.stream_statuses(wire.ListStatusesRequest()))
    assert [len(message.statuses) for message in messages] == [11, 11, 11, 7]
    assert max(message.ByteSize() for message in messages) <= 50_000
    with connect(str(served)) as store:
        assert [status.ref for status in store.statuses()] == long_refs
        assert [status.ref for status in store.statuses("ref~=^0")] == long_refs[:10]


def test_too_many_for_the_one_answer_that_containerd_has_are_refused(
    long_refs: list[str], channel: Channel
) -> None:
    with pytest.raises(grpc.RpcError, match="select fewer") as caught:
        channel.list_statuses(wire.ListStatusesRequest())
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    answer = channel.list_statuses(wire.ListStatusesRequest(filters=["ref~=^3"]))
    assert [status.ref for status in answer.statuses] == long_refs[30:]


def test_a_server_without_the_stream_is_asked_as_a_containerd(socket_path: Path) -> None:
    def answer(request: wire.ListStatusesRequest, _context: object) -> wire.ListStatusesResponse:
        assert list(request.filters) == ["ref"]
        return wire.ListStatusesResponse(statuses=[wire.Status(ref="b"), wire.Status(ref="a")])

    with lying(socket_path, ListStatuses=answer) as store:
        assert [status.ref for status in store.statuses("ref")] == ["a", "b"]


def test_what_is_wrong_with_a_listing_is_told_when_it_begins(served: Path) -> None:
    with connect(str(served)) as store:
        with pytest.raises(contentdb.InvalidFilterError):
            store.walk("no such field==1")
        with pytest.raises(contentdb.InvalidFilterError):
            store.statuses("no such field==1")
