"""What clients ask to learn what this server is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from grpc import StatusCode

import contentdb
from contentdb.server.daemon import Server
from contentdb.server.rpcs import RPCS
from contentdb.wire import introspection_pb2 as wire
from contentdb.wire.introspection_pb2_grpc import IntrospectionStub
from contentdb.wire.snapshots_pb2 import StatSnapshotRequest
from contentdb.wire.snapshots_pb2_grpc import SnapshotsStub
from tests.server.asking import IN_TEST, connected, refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def channel(served: Path) -> Iterator[grpc.Channel]:
    yield from connected(served)


def id_of(root: Path, socket_path: Path, *, read_only: bool = False) -> str:
    with Server(root, read_only=read_only) as server:
        server.listen_unix(socket_path)
        server.start()
        for channel in connected(socket_path):
            return IntrospectionStub(channel).Server(Empty()).uuid
    raise AssertionError


def test_the_id_is_that_of_the_store_and_stays(tmp_path: Path, socket_path: Path) -> None:
    first = id_of(tmp_path / "a", socket_path)
    assert str(UUID(first)) == first
    assert id_of(tmp_path / "a", socket_path) == first
    assert id_of(tmp_path / "a", socket_path, read_only=True) == first
    assert id_of(tmp_path / "b", socket_path) != first


def test_a_server_that_only_reads_gives_no_id(
    tmp_path: Path, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it write to a store that it may write to."""
    contentdb.open(tmp_path / "a").close()
    assert id_of(tmp_path / "a", socket_path, read_only=True) == ""
    with contentdb.open(tmp_path / "a") as store, store.parts() as parts:
        assert parts.index.store_id() is None
    monkeypatch.setattr("contentdb.server.daemon.may_only_read", lambda _root: True)
    assert id_of(tmp_path / "a", socket_path, read_only=True) == ""


def test_the_plugins_are_the_services(channel: grpc.Channel) -> None:
    stub = IntrospectionStub(channel)

    def ids(*filters: str) -> list[str]:
        return [one.id for one in stub.Plugins(wire.PluginsRequest(filters=filters)).plugins]

    served = {rpc.service.split(".")[2] for rpc in RPCS if rpc.service.startswith("containerd")}
    assert set(ids("type==io.containerd.grpc.v1")) == served - {"snapshots"} | {
        "healthcheck",
        "version",
    }
    assert ids("type==io.containerd.content.v1") == ["content"]
    assert ids("id==images", "id==events") == ["events", "images"]
    assert ids("type==io.containerd.snapshotter.v1,id==overlayfs") == []
    assert refused(lambda: ids("x==="))[0] is StatusCode.INVALID_ARGUMENT


def test_there_is_no_snapshot(channel: grpc.Channel) -> None:
    stub = SnapshotsStub(channel)
    asked = StatSnapshotRequest(snapshotter="overlayfs", key="sha256:k")
    assert refused(lambda: stub.Stat(asked, metadata=IN_TEST)) == (
        StatusCode.NOT_FOUND,
        "snapshot sha256:k does not exist: not found",
    )


def test_other_rpcs_of_snapshots_are_not_there(channel: grpc.Channel) -> None:
    prepare: Any = channel.unary_unary("/containerd.services.snapshots.v1.Snapshots/Prepare")
    assert refused(lambda: prepare(b"", metadata=IN_TEST))[0] is StatusCode.UNIMPLEMENTED
