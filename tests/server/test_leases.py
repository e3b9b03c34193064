"""The service Leases, and Writes under a lease."""

from __future__ import annotations

import contextlib
import sqlite3
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest
from grpc import StatusCode

import contentdb
from contentdb.content import LeaseItem
from contentdb.digest import Digest
from contentdb.wire import content_pb2, keeping_pb2
from contentdb.wire import leases_pb2 as wire
from contentdb.wire.content_pb2_grpc import ContentStub
from contentdb.wire.keeping_pb2_grpc import KeepingStub
from contentdb.wire.leases_pb2_grpc import LeasesStub
from tests.server.asking import IN_TEST, connected, refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import grpc

ONE = Digest.of(b"one")
EXPIRE, FLAT = "containerd.io/gc.expire", "containerd.io/gc.flat"


Resources = list[tuple[str, str]]


class Leases:
    """The rpcs, in the namespace of the tests."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._stub = LeasesStub(channel)
        self._content = ContentStub(channel)
        self._keeping = KeepingStub(channel)

    def create(self, id_: str = "", labels: dict[str, str] | None = None) -> wire.Lease:
        request = wire.CreateRequest(id=id_, labels=labels)
        return self._stub.Create(request, metadata=IN_TEST).lease

    def delete(self, id_: str) -> None:
        self._stub.Delete(wire.DeleteRequest(id=id_, sync=True), metadata=IN_TEST)

    def list(self, *filters: str) -> list[wire.Lease]:
        return list(self._stub.List(wire.ListRequest(filters=filters), metadata=IN_TEST).leases)

    def add(self, id_: str, kind: str, name: str) -> None:
        resource = wire.Resource(id=name, type=kind)
        request = wire.AddResourceRequest(id=id_, resource=resource)
        self._stub.AddResource(request, metadata=IN_TEST)

    def drop(self, id_: str, kind: str, name: str) -> None:
        resource = wire.Resource(id=name, type=kind)
        request = wire.DeleteResourceRequest(id=id_, resource=resource)
        self._stub.DeleteResource(request, metadata=IN_TEST)

    def resources(self, id_: str) -> Resources:
        request = wire.ListResourcesRequest(id=id_)
        found = self._stub.ListResources(request, metadata=IN_TEST).resources
        return [(one.type, one.id) for one in found]

    def keep(self, id_: str, digest: str) -> bool:
        request = keeping_pb2.KeepRequest(id=id_, digest=digest)
        return self._keeping.Keep(request, metadata=IN_TEST).kept

    def write(self, data: bytes, lease: str, expected: str = "") -> str:
        request = content_pb2.WriteContentRequest(
            action=content_pb2.COMMIT, ref="r", data=data, expected=expected
        )
        metadata = (*IN_TEST, ("containerd-lease", lease))
        (answer,) = self._content.Write(iter([request]), metadata=metadata)
        return answer.digest

    def info(self, digest: str, lease: str) -> int:
        metadata = (*IN_TEST, ("containerd-lease", lease))
        return self._content.Info(
            content_pb2.InfoRequest(digest=digest), metadata=metadata
        ).info.size


@pytest.fixture
def leases(served: Path) -> Iterator[Leases]:
    for channel in connected(served):
        yield Leases(channel)


@pytest.fixture
def store(served: Path, tmp_path: Path) -> Iterator[contentdb.Store]:
    """The store itself, beside the server."""
    del served
    with contentdb.open(tmp_path / "store", namespace="test") as store:
        yield store


def test_a_synced_delete_waits_for_a_collection(leases: Leases, store: contentdb.Store) -> None:
    store.tag("kept", store.add(b"kept").digest)
    store.collect()
    with contextlib.closing(sqlite3.connect(store.root / "index.sqlite")) as database:
        database.execute("UPDATE settings SET value = '7' WHERE name = 'collecting_since'")
        database.commit()
    leases.create("mine")
    with store.use_lease("mine") as lease:
        lease.add(b"one")
    with contextlib.closing(sqlite3.connect(store.root / "index.sqlite")) as database:
        database.execute("UPDATE blobs SET review_at = 7")
        database.commit()
    leases.delete("mine")
    assert not list(store.walk(f"digest=={ONE}"))
    assert [tag.name for tag in store.tags()] == ["kept"]


def test_a_lease_lives_until_it_is_deleted(leases: Leases, store: contentdb.Store) -> None:
    made = leases.create("mine", {"k": "v", "empty": ""})
    assert (made.id, dict(made.labels)) == ("mine", {"k": "v"})
    assert leases.list() == [made]
    (info,) = store.leases()
    assert (info.expires_at, info.holder, info.flat) == (None, None, False)
    assert info.created_ns == made.created_at.ToNanoseconds()
    leases.delete("mine")
    assert leases.list() == []
    assert refused(lambda: leases.delete("mine")) == (
        StatusCode.NOT_FOUND,
        'lease "mine": not found',
    )


def test_a_server_makes_an_id_up(leases: Leases) -> None:
    first, second = leases.create(), leases.create()
    assert first.id
    assert first.id != second.id
    assert {lease.id for lease in leases.list()} == {first.id, second.id}


def test_an_id_is_used_once(leases: Leases) -> None:
    made = leases.create("mine")
    assert refused(lambda: leases.create("mine")) == (
        StatusCode.ALREADY_EXISTS,
        'lease "mine": already exists',
    )
    assert leases.list() == [made]


def test_labels_say_when_it_ends_and_how_far_it_reaches(
    leases: Leases, store: contentdb.Store
) -> None:
    moment = datetime.now(UTC) + timedelta(hours=1)
    labels = {EXPIRE: moment.strftime("%Y-%m-%dT%H:%M:%SZ"), FLAT: "yes"}
    made = leases.create("mine", labels)
    assert dict(made.labels) == labels
    (info,) = store.leases()
    assert info.flat
    assert info.expires_at is not None
    assert abs(info.expires_at - moment) < timedelta(seconds=2)


def test_a_time_that_is_over_ends_it(leases: Leases) -> None:
    made = leases.create("mine", {EXPIRE: "2001-02-03T04:05:06Z"})
    assert made.id == "mine"
    assert leases.list() == []
    assert refused(lambda: leases.add("mine", "content", ONE))[0] is StatusCode.NOT_FOUND


@pytest.mark.parametrize("text", ["soon", "2001-02-03", "2001-02-03T04:05:06", ""])
def test_a_time_that_is_none_is_refused(leases: Leases, text: str) -> None:
    """containerd passes over it, and the lease has no end."""
    code, _ = refused(lambda: leases.create("mine", {EXPIRE: text}))
    assert code is StatusCode.INVALID_ARGUMENT
    assert leases.list() == []


def test_a_lease_of_the_library_tells_its_end_by_labels(
    leases: Leases, store: contentdb.Store
) -> None:
    store.lease(id="timed", expires=timedelta(hours=1), flat=True)
    (info,) = store.leases()
    (lease,) = leases.list()
    assert info.expires_at is not None
    assert dict(lease.labels) == {EXPIRE: info.expires_at.isoformat(), FLAT: "1"}
    with store.lease(id="held"):
        assert [one.id for one in leases.list("id==held")] == ["held"]


def test_filters_choose(leases: Leases) -> None:
    leases.create("a", {"k": "v"})
    leases.create("b")
    for chosen, ids in (
        ((), ["a", "b"]),
        (("id==b",), ["b"]),
        (("labels.k==v", "id~=^b"), ["a", "b"]),
        (("labels.k!=v",), ["b"]),
    ):
        assert [lease.id for lease in leases.list(*chosen)] == ids
    assert refused(lambda: leases.list("digest==x"))[0] is StatusCode.INVALID_ARGUMENT


def test_resources_are_kept_verbatim(leases: Leases, store: contentdb.Store) -> None:
    leases.create("mine")
    given = [("content", ONE), ("ingests", "a ref"), ("snapshots/overlayfs", "key")]
    for kind, name in given:
        leases.add("mine", kind, name)
    assert sorted(leases.resources("mine")) == given
    assert LeaseItem("ingest", "a ref") in set(store.use_lease("mine").items())
    leases.drop("mine", "ingests", "a ref")
    leases.drop("mine", "ingests", "a ref")
    assert sorted(leases.resources("mine")) == [given[0], given[2]]
    for call in (
        lambda: leases.add("none", "content", ONE),
        lambda: leases.drop("none", "content", ONE),
        lambda: leases.resources("none"),
    ):
        assert refused(call) == (StatusCode.NOT_FOUND, 'lease "none": not found')
    assert refused(lambda: leases.add("mine", "", ONE))[0] is StatusCode.INVALID_ARGUMENT


def test_what_a_write_stores_or_finds_is_the_leases(leases: Leases, store: contentdb.Store) -> None:
    known, other = store.add(b"known").digest, store.add(b"other").digest
    leases.create("mine")
    assert leases.write(b"one", "mine") == ONE
    for expected in (known, ""):
        code, _ = refused(partial(leases.write, b"known", "mine", expected))
        assert code is StatusCode.ALREADY_EXISTS
    assert leases.info(other, "mine") == 5
    assert sorted(leases.resources("mine")) == sorted([("content", ONE), ("content", known)])


def test_a_write_under_an_absent_lease_stores_nothing(
    leases: Leases, store: contentdb.Store
) -> None:
    assert refused(lambda: leases.write(b"one", "none")) == (
        StatusCode.NOT_FOUND,
        'lease "none": not found',
    )
    assert list(store.walk()) == []
    assert list(store.statuses()) == []
    leases.create("mine")
    leases.delete("mine")
    assert refused(lambda: leases.write(b"one", "mine"))[0] is StatusCode.NOT_FOUND


def test_other_calls_do_not_ask_for_their_lease(leases: Leases, store: contentdb.Store) -> None:
    """As in containerd, whose clients send the header with every call."""
    store.add(b"one")
    assert leases.info(ONE, "none") == 3


def test_keep_asks_and_adds_at_once(leases: Leases, store: contentdb.Store) -> None:
    leases.create("mine")
    assert not leases.keep("mine", ONE)
    store.add(b"one")
    assert leases.keep("mine", ONE)
    assert leases.resources("mine") == [("content", ONE)]
    assert refused(lambda: leases.keep("none", ONE))[0] is StatusCode.NOT_FOUND


def test_more_than_one_message_takes_is_refused(
    leases: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    leases.create("mine", {"k": "v" * 200})
    leases.add("mine", "content", "x" * 200)
    monkeypatch.setattr("contentdb.server.limits._MOST_ANSWER_BYTES", 100)
    for call in (leases.list, lambda: leases.resources("mine")):
        assert refused(call)[0] is StatusCode.RESOURCE_EXHAUSTED
