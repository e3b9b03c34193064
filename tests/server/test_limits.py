"""How much clients may have open, and who gives way."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import grpc
import pytest

import contentdb
from contentdb.declared import Declared, Takeover
from contentdb.remote.channel import Channel
from contentdb.remote.held import RemoteIngest
from contentdb.server.daemon import Server
from contentdb.server.limits import Limits, Place, Places
from contentdb.server.rpcs import RPCS
from contentdb.store.connect import connect
from contentdb.wire import content_pb2 as wire
from contentdb.wire.statuses import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from contentdb.content import Writer

ADA, BOB = "ipv4:10.0.0.1:4001", "ipv6:[2001:db8::1]:4001"
NEVER_S = 1e9
NOTHING = Declared(None, None, None)


def entering(
    places: Places,
    rpc: str,
    peer: str,
    gone: list[Place] | None = None,
    namespace: str = "default",
) -> Place:
    def cancel() -> None:
        assert gone is not None, "no call may give way here"
        gone.append(place)

    place = places.enter(rpc, peer, cancel, namespace)
    return place


def silent_for(place: Place, seconds: float) -> None:
    place.silent_since = time.monotonic() - seconds


@pytest.mark.parametrize(
    ("limits", "rpc", "text"),
    [
        (Limits(client_ingests=2), "Write", "this client has 2 ingests open"),
        (Limits(client_calls=2), "List", "this client has 2 calls open"),
    ],
)
def test_a_host_has_so_many_and_no_more(limits: Limits, rpc: str, text: str) -> None:
    """However many connections it makes; another host is served meanwhile."""
    places = Places(limits)
    held = [entering(places, rpc, f"ipv4:10.0.0.1:{port}") for port in (1, 2)]
    silent_for(held[0], NEVER_S)
    with pytest.raises(Refusal, match=text) as caught:
        entering(places, rpc, ADA)
    assert caught.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    entering(places, rpc, BOB)
    held[0].leave()
    held[0].leave()
    entering(places, rpc, ADA)
    with pytest.raises(Refusal, match=text):
        entering(places, rpc, ADA)


def test_the_longest_silent_call_gives_way(caplog: pytest.LogCaptureFixture) -> None:
    places = Places(Limits(calls=4, silence_s=10))
    gone: list[Place] = []
    held = [entering(places, "Write", peer, gone) for peer in ("unix:", ADA, "unix:", BOB)]
    for place, seconds in zip(held, (5, 15, 12, None), strict=True):
        if seconds is not None:
            silent_for(place, seconds)
    entering(places, "Info", "unix:")
    assert gone == [held[1]]
    entering(places, "Info", "unix:")
    assert gone == [held[1], held[2]]
    assert [record.message for record in caplog.records] == 2 * [
        "a silent call gave way to another"
    ]
    held[1].leave()
    with pytest.raises(Refusal, match="4 calls are open"):
        entering(places, "Info", "unix:")
    held[0].leave()
    entering(places, "Info", "unix:")


def test_the_longest_silent_namespace_gives_way() -> None:
    """With all its calls, none of which may be at work."""
    places = Places(Limits(namespaces=3, silence_s=10))
    gone: list[Place] = []
    held = [entering(places, "Write", "unix:", gone, name) for name in ("a", "a", "b", "b", "c")]
    for place, seconds in zip(held, (20, 12, 15, None, 11), strict=True):
        if seconds is not None:
            silent_for(place, seconds)
    entering(places, "Info", "unix:", gone, "b")
    assert gone == []
    entering(places, "Info", "unix:", gone, "d")
    assert set(gone) == {held[0], held[1]}
    entering(places, "Info", "unix:", gone, "e")
    assert set(gone) == {held[0], held[1], held[4]}
    with pytest.raises(Refusal, match="3 namespaces are in use"):
        entering(places, "Info", "unix:", gone, "f")


def test_namespaces_of_silent_streams_lock_no_other_out(tmp_path: Path, socket_path: Path) -> None:
    limits = Limits(namespaces=2, silence_s=0)
    with Server(tmp_path / "store", limits=limits) as server, ExitStack() as held:
        server.listen_unix(socket_path)
        server.start()
        for name in ("a", "b"):
            silent = held.enter_context(connect(str(socket_path), namespace=name))
            held.enter_context(silent.writer("r"))
        with connect(str(socket_path), namespace="c") as other:
            served_at_last(lambda: other.add(b"hello"))
            assert other.read(contentdb.Digest.of(b"hello")) == b"hello"


def served_at_last(call: Callable[[], object]) -> None:
    """Call until there is a place: a stream counts as silent a moment after it was answered."""
    deadline = time.monotonic() + 60
    while True:
        try:
            call()
        except contentdb.StoreError as error:
            if "the most there may be" not in str(error) or time.monotonic() > deadline:
                raise
        else:
            return


def test_silent_streams_of_one_client_lock_no_other_out(tmp_path: Path, socket_path: Path) -> None:
    """All places are taken by a client that says nothing; what it has sent is kept."""
    with (
        Server(tmp_path / "store", limits=Limits(calls=3, silence_s=0)) as server,
        connect(str(socket_path)) as silent,
        connect(str(socket_path)) as other,
    ):
        server.listen_unix(socket_path)
        server.start()
        writers = [silent.writer(f"{n}") for n in range(3)]
        for writer in writers:
            writer.write(b"some")
        served_at_last(lambda: other.add(b"hello"))
        (gone,) = [writer for writer in writers if is_gone(writer)]
        with other.writer(gone.ref, wait=60, resume=True) as resumed:
            assert resumed.offset == len(b"some")
        for writer in writers:
            writer.close()


def is_gone(writer: Writer) -> bool:
    try:
        writer.status()
    except contentdb.StoreError:
        return True
    return False


def test_as_many_ingests_as_a_host_may_have_lock_no_other_out(served: Path) -> None:
    with connect(str(served)) as silent, connect(str(served)) as other, ExitStack() as held:
        for n in range(Limits().client_ingests + 1):
            held.enter_context(silent.writer(f"{n}"))
        assert other.add(b"hello").size == len(b"hello")


def test_a_client_that_does_not_read_is_silent(tmp_path: Path, socket_path: Path) -> None:
    with contentdb.open(tmp_path / "store") as store:
        large = store.add(bytes(64 << 20)).digest
    with (
        Server(tmp_path / "store", limits=Limits(calls=1, silence_s=0)) as server,
        connect(str(socket_path)) as lazy,
        connect(str(socket_path)) as other,
    ):
        server.listen_unix(socket_path)
        server.start()
        reader = lazy.open(large)
        served_at_last(lambda: other.exists(large))
        with pytest.raises(contentdb.StoreError):
            reader.read()
        reader.close()


def test_a_call_at_work_does_not_give_way(
    tmp_path: Path, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(store: contentdb.Store, request: wire.ListContentRequest) -> Any:  # noqa: ANN401
        begun.set()
        go_on.wait()
        yield wire.ListContentResponse()

    monkeypatch.setattr("contentdb.server.service.RPCS", _with_list(slow))
    with Server(tmp_path / "store", limits=Limits(calls=1, silence_s=0)) as server:
        server.listen_unix(socket_path)
        server.start()
        channel = Channel(str(socket_path), "default", None)
        listing = channel.list_content(wire.ListContentRequest())
        begun.wait()
        with pytest.raises(grpc.RpcError, match="1 calls are open"):
            channel.list_statuses(wire.ListStatusesRequest())
        go_on.set()
        assert list(listing) == [wire.ListContentResponse()]
        channel.close()


def _with_list(handler: Callable[..., Any]) -> tuple[Any, ...]:
    return tuple(rpc._replace(handler=handler) if rpc.name == "List" else rpc for rpc in RPCS)


def test_with_every_place_at_work_a_call_is_refused(tmp_path: Path, socket_path: Path) -> None:
    with Server(tmp_path / "store", limits=Limits(calls=2, silence_s=NEVER_S)) as server:
        server.listen_unix(socket_path)
        server.start()
        channel = Channel(str(socket_path), "default", None)
        held = [RemoteIngest(channel, f"{n}", NOTHING, Takeover.ANEW) for n in range(2)]
        with pytest.raises(grpc.RpcError, match="2 calls are open") as caught:
            channel.list_statuses(wire.ListStatusesRequest())
        error: Any = caught.value
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        held[0].close()
        channel.list_statuses(wire.ListStatusesRequest())
        held[1].close()
        channel.close()
