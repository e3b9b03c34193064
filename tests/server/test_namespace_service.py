"""The service Namespaces: those that have something, and those that were made."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from grpc import StatusCode

import contentdb
from contentdb.wire import namespaces_pb2 as wire
from contentdb.wire.namespaces_pb2_grpc import NamespacesStub
from tests.server.asking import connected, refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import grpc


class Names:
    """The rpcs. None of them needs the header that names a namespace."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._stub = NamespacesStub(channel)

    def list(self) -> dict[str, dict[str, str]]:
        found = self._stub.List(wire.ListNamespacesRequest()).namespaces
        return {one.name: dict(one.labels) for one in found}

    def labels(self, name: str) -> dict[str, str]:
        found = self._stub.Get(wire.GetNamespaceRequest(name=name)).namespace
        assert found.name == name
        return dict(found.labels)

    def create(self, name: str, **labels: str) -> None:
        namespace = wire.Namespace(name=name, labels=labels)
        self._stub.Create(wire.CreateNamespaceRequest(namespace=namespace))

    def update(self, name: str, *paths: str, **labels: str) -> None:
        namespace = wire.Namespace(name=name, labels=labels)
        mask = FieldMask(paths=paths)
        self._stub.Update(wire.UpdateNamespaceRequest(namespace=namespace, update_mask=mask))

    def delete(self, name: str) -> None:
        self._stub.Delete(wire.DeleteNamespaceRequest(name=name))


@pytest.fixture
def names(served: Path) -> Iterator[Names]:
    for channel in connected(served):
        yield Names(channel)


def test_a_namespace_with_anything_in_it_is_listed(names: Names, tmp_path: Path) -> None:
    assert names.list() == {}
    names.create("made")
    with contentdb.open(tmp_path / "store", namespace="blob") as store:
        store.add(b"x")
    with contentdb.open(tmp_path / "store", namespace="ingest") as store:
        store.writer("r").close()
    with contentdb.open(tmp_path / "store", namespace="tag") as store:
        store.tag("n", store.add(b"x").digest)
        store.delete(store.tagged("n").digest)
    assert list(names.list()) == ["blob", "ingest", "made", "tag"]
    with contentdb.open(tmp_path / "store", namespace="blob") as store:
        store.delete(next(store.walk()).digest)
    assert list(names.list()) == ["ingest", "made", "tag"]


def test_one_that_is_not_there_has_no_labels(names: Names) -> None:
    """containerd answers so, and ctr asks for the default snapshotter by it."""
    assert names.labels("none") == {}
    assert names.list() == {}


def test_what_was_made_stays_with_its_labels(names: Names, tmp_path: Path) -> None:
    names.create("n", a="1", empty="")
    names.create("x.y-z")
    with contentdb.open(tmp_path / "store"):
        assert names.list() == {"n": {"a": "1"}, "x.y-z": {}}
    assert refused(lambda: names.create("n", a="2")) == (
        StatusCode.ALREADY_EXISTS,
        'namespace "n": already exists',
    )
    assert names.labels("n") == {"a": "1"}


def test_one_that_has_something_cannot_be_made(names: Names, tmp_path: Path) -> None:
    with contentdb.open(tmp_path / "store", namespace="n") as store:
        store.add(b"x")
    assert refused(lambda: names.create("n"))[0] is StatusCode.ALREADY_EXISTS


def test_labels_are_changed_one_by_one_or_all(names: Names) -> None:
    names.update("new", "labels.a", "labels.b", a="1", b="2", c="3")
    assert names.list() == {"new": {"a": "1", "b": "2"}}
    names.update("new", "labels.a", "labels.c", c="3")
    assert names.labels("new") == {"b": "2", "c": "3"}
    names.update("new", d="4")
    assert names.labels("new") == {"d": "4"}
    assert refused(lambda: names.update("new", "name", e="5")) == (
        StatusCode.INVALID_ARGUMENT,
        'cannot update "name" field',
    )
    assert names.labels("new") == {"d": "4"}


@pytest.mark.parametrize("name", ["", "bad_name!", "a" * 77])
def test_bad_names_and_labels_are_refused(names: Names, name: str) -> None:
    for change in (names.create, names.update):
        for bad in (partial(change, name), partial(change, "n", k="v" * 5000)):
            assert refused(bad)[0] is StatusCode.INVALID_ARGUMENT
    assert names.list() == {}


def test_only_an_empty_one_is_deleted(names: Names, tmp_path: Path) -> None:
    names.create("n", a="1")
    names.create("o")
    with contentdb.open(tmp_path / "store", namespace="n") as store:
        digest = store.add(b"x").digest
        assert refused(lambda: names.delete("n")) == (
            StatusCode.FAILED_PRECONDITION,
            'namespace "n" must be empty, but it still has blobs',
        )
        assert names.labels("n") == {"a": "1"}
        store.delete(digest)
        names.delete("n")
        assert refused(lambda: names.delete("n")) == (
            StatusCode.NOT_FOUND,
            'namespace "n": not found',
        )
        store.add(b"x")
        assert names.labels("n") == {}
    assert names.list() == {"n": {}, "o": {}}


def test_more_than_one_message_takes_are_refused(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    names.create("n", k="v" * 200)
    monkeypatch.setattr("contentdb.server.limits._MOST_ANSWER_BYTES", 100)
    assert refused(names.list)[0] is StatusCode.RESOURCE_EXHAUSTED


def test_a_header_with_a_bad_name_does_not_matter(served: Path) -> None:
    """As in containerd: these rpcs are about no namespace."""
    bad = (("containerd-namespace", "bad_name!"),)
    for channel in connected(served):
        assert (
            not NamespacesStub(channel).List(wire.ListNamespacesRequest(), metadata=bad).namespaces
        )
