"""The service Events: what this server's calls do, told to those who subscribe."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as Packed
from grpc import StatusCode

import contentdb
from contentdb.digest import Digest
from contentdb.server.daemon import Server
from contentdb.server.limits import Limits
from contentdb.store.connect import connect
from contentdb.wire import events_pb2 as wire
from contentdb.wire import happenings_pb2, images_pb2, namespaces_pb2
from contentdb.wire.descriptor_pb2 import Descriptor
from contentdb.wire.events_pb2_grpc import EventsStub
from contentdb.wire.images_pb2_grpc import ImagesStub
from contentdb.wire.namespaces_pb2_grpc import NamespacesStub
from tests.server.asking import IN_TEST, connected, refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ONE = Digest.of(b"one")


@pytest.fixture
def server(tmp_path: Path, socket_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "store") as server:
        server.listen_unix(socket_path)
        server.start()
        yield server


@pytest.fixture
def channel(server: Server, socket_path: Path) -> Iterator[grpc.Channel]:
    yield from connected(socket_path)


def subscribe(
    server: Server, channel: grpc.Channel, *filters: str, named: tuple[tuple[str, str], ...] = ()
) -> Any:  # noqa: ANN401 - a call of gRPC
    """Subscribe, and wait until the server listens."""
    listeners = server._service.events._listeners
    before = len(listeners)
    stream = EventsStub(channel).Subscribe(wire.SubscribeRequest(filters=filters), metadata=named)
    while len(listeners) == before:
        time.sleep(0.001)
        assert stream.is_active(), stream.details()
    return stream


def test_each_change_is_told(server: Server, channel: grpc.Channel, socket_path: Path) -> None:
    stream = subscribe(server, channel)
    with connect(str(socket_path), namespace="test") as store:
        store.add(b"one")
        store.add(b"one")  # it is there: nothing happens
        store.tag("n", ONE, labels={"k": "v"})
        store.tag("n", ONE)
        store.untag("n")
        store.delete(ONE)
    stub = ImagesStub(channel)
    target = Descriptor(digest=ONE, size=3, media_type="text/plain")
    image = images_pb2.Image(name="i", target=target, labels={"k": "v"})
    stub.Create(images_pb2.CreateImageRequest(image=image), metadata=IN_TEST)
    stub.Update(images_pb2.UpdateImageRequest(image=image), metadata=IN_TEST)
    stub.Delete(images_pb2.DeleteImageRequest(name="i"), metadata=IN_TEST)
    names = NamespacesStub(channel)
    made = namespaces_pb2.Namespace(name="other", labels={"k": "v"})
    names.Create(namespaces_pb2.CreateNamespaceRequest(namespace=made))
    names.Update(namespaces_pb2.UpdateNamespaceRequest(namespace=made))
    names.Delete(namespaces_pb2.DeleteNamespaceRequest(name="other"))
    labels = {"k": "v"}
    images = images_pb2
    events = happenings_pb2
    for namespace, topic, event in (
        ("test", "/content/create", events.ContentCreate(digest=ONE, size=3)),
        ("test", "/images/create", images.ImageCreate(name="n", labels=labels)),
        ("test", "/images/update", images.ImageUpdate(name="n", labels=labels)),
        ("test", "/images/delete", images.ImageDelete(name="n")),
        ("test", "/content/delete", events.ContentDelete(digest=ONE)),
        ("test", "/images/create", images.ImageCreate(name="i", labels=labels)),
        ("test", "/images/update", images.ImageUpdate(name="i", labels=labels)),
        ("test", "/images/delete", images.ImageDelete(name="i")),
        ("other", "/namespaces/create", events.NamespaceCreate(name="other", labels=labels)),
        ("other", "/namespaces/update", events.NamespaceUpdate(name="other", labels=labels)),
        ("other", "/namespaces/delete", events.NamespaceDelete(name="other")),
    ):
        told = next(stream)
        assert (told.namespace, told.topic) == (namespace, topic)
        assert told.event.type_url == event.DESCRIPTOR.full_name
        assert type(event).FromString(told.event.value) == event
        assert told.timestamp.seconds > 0
    stream.cancel()


def test_what_fails_is_not_told(server: Server, channel: grpc.Channel, socket_path: Path) -> None:
    stream = subscribe(server, channel)
    with connect(str(socket_path), namespace="test") as store:
        for change in (
            lambda: store.delete(ONE),
            lambda: store.untag("n"),
            lambda: store.tag("n", ONE),
            lambda: store.add(b"one", expected=Digest.of(b"two")),
        ):
            with pytest.raises(contentdb.ContentDBError):
                change()
        store.add(b"last")
    assert next(stream).topic == "/content/create"
    stream.cancel()


@pytest.mark.parametrize(
    "chosen",
    [
        ('topic=="/images/create"',),
        ("topic~=/images/",),
        ("event.name==n,event.labels.k==v",),
        ("topic==none", "namespace==test,event.name"),
    ],
)
def test_filters_choose(
    server: Server, channel: grpc.Channel, socket_path: Path, chosen: tuple[str, ...]
) -> None:
    stream = subscribe(server, channel, *chosen)
    with connect(str(socket_path), namespace="test") as store:
        store.add(b"one")
        store.tag("n", ONE, labels={"k": "v"})
    assert next(stream).topic == "/images/create"
    stream.cancel()


def test_bad_filters_are_refused(channel: grpc.Channel) -> None:
    stub = EventsStub(channel)
    request = wire.SubscribeRequest(filters=["size>1"])
    assert refused(lambda: next(stub.Subscribe(request)))[0] is StatusCode.INVALID_ARGUMENT


def test_events_of_clients_are_refused(channel: grpc.Channel) -> None:
    stub = EventsStub(channel)
    event = Packed(type_url="t")
    publish = wire.PublishRequest(topic="/t", event=event)
    forward = wire.ForwardRequest(envelope=wire.Envelope(topic="/t", event=event))
    for call in (lambda: stub.Publish(publish), lambda: stub.Forward(forward)):
        assert refused(call)[0] is StatusCode.UNIMPLEMENTED


def test_a_client_that_leaves_is_forgotten(server: Server, channel: grpc.Channel) -> None:
    stream = subscribe(server, channel)
    stream.cancel()
    listeners = server._service.events._listeners
    while listeners:
        time.sleep(0.001)


def test_a_server_that_stops_ends_the_streams(
    server: Server, channel: grpc.Channel, socket_path: Path
) -> None:
    """At once, and after what they have not read yet."""
    stream = subscribe(server, channel)
    with connect(str(socket_path), namespace="test") as store:
        store.add(b"one")
    stopped = threading.Thread(target=server.stop, kwargs={"grace_s": 3600})
    stopped.start()
    assert [told.topic for told in stream] == ["/content/create"]
    stopped.join()


def test_events_that_nobody_reads_end_the_call(
    server: Server, channel: grpc.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is left out in silence."""
    monkeypatch.setattr("contentdb.server.events._MOST_UNREAD", 2)
    stream = subscribe(server, channel)
    events = server._service.events
    event = happenings_pb2.ContentDelete(digest=ONE)
    with events._changed:  # so that the call sends none of them in between
        for _ in range(3):
            events.publish("test", "/content/delete", event)
    assert refused(lambda: list(stream))[0] is StatusCode.RESOURCE_EXHAUSTED


def test_a_subscriber_gives_way_to_other_calls(tmp_path: Path, socket_path: Path) -> None:
    """It is silent, however long nothing happens."""
    with Server(tmp_path / "store", limits=Limits(calls=1, silence_s=0)) as server:
        server.listen_unix(socket_path)
        server.start()
        for channel in connected(socket_path):
            stream = subscribe(server, channel)
            with connect(str(socket_path)) as store:
                assert list(store.walk()) == []
            assert refused(lambda: list(stream))[0] is StatusCode.CANCELLED  # noqa: B023 - called here


def test_isolated_namespaces_do_not_hear_of_each_other(tmp_path: Path, socket_path: Path) -> None:
    """An event would tell that another namespace has some content."""
    with Server(tmp_path / "store", sharing="isolated") as server:
        server.listen_unix(socket_path)
        server.start()
        for channel in connected(socket_path):
            stream = subscribe(server, channel, named=IN_TEST)
            nameless = subscribe(server, channel)
            for namespace in ("other", "default", "test"):
                with connect(str(socket_path), namespace=namespace) as store:
                    store.add(b"one")
            assert next(stream).namespace == "test"
            assert next(nameless).namespace == "default"
            stream.cancel()
            nameless.cancel()
