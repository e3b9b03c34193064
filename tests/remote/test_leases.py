"""Leases over a connection: what a client sees of their end, and what another server cannot do."""

from __future__ import annotations

import pickle
import time
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

import contentdb
from contentdb.content import LeaseItem
from contentdb.digest import Digest
from contentdb.server import service
from contentdb.server.daemon import Server
from contentdb.server.rpcs import RPCS
from contentdb.store.connect import RemoteStore, connect
from contentdb.wire import leasing
from contentdb.wire.leasing import KEEPING, LEASES
from contentdb.wire.tagging import TAGS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from contentdb.content import LeaseInfo

ABSENT = Digest.of(b"absent")


@pytest.fixture
def store(served: Path) -> Iterator[RemoteStore]:
    with connect(str(served)) as store:
        yield store


@pytest.fixture
def foreign(
    tmp_path: Path, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RemoteStore]:
    """A store at a server that has leases, but none of contentdb's own services."""
    left = tuple(rpc for rpc in RPCS if rpc.service not in {TAGS, KEEPING})
    monkeypatch.setattr(service, "RPCS", left)
    with Server(tmp_path / "store") as server:
        server.listen_unix(socket_path)
        server.start()
        with connect(str(socket_path)) as store:
            yield store


def test_no_process_holds_a_lease_over_a_connection(store: RemoteStore) -> None:
    with pytest.raises(contentdb.FailedPreconditionError, match="give expires, or lasting=True"):
        store.lease()
    assert list(store.leases()) == []


def test_a_lease_of_another_process_is_used(store: RemoteStore, tmp_path: Path) -> None:
    """Held there, it ends with that process, and this one is told."""
    with contentdb.open(tmp_path / "store") as local:
        with local.lease(id="held") as held, store.use_lease("held") as used:
            digest = used.add(b"content").digest
            assert list(held.items()) == [LeaseItem("content", digest)]
            assert used.describe() == held.describe()
            assert used.describe().holder is not None
        with pytest.raises(contentdb.NotFoundError, match="no lease 'held'"):
            store.use_lease("held")


def test_another_lease_with_the_id_is_not_meant(store: RemoteStore) -> None:
    digest = store.add(b"content").digest
    old = store.lease(id="mine", lasting=True)
    store.end_lease("mine")
    with store.lease(id="mine", lasting=True) as new:
        for call in (
            lambda: old.keep(digest),
            lambda: old.add_item("content", digest),
            lambda: old.drop_item("content", digest),
            lambda: list(old.items()),
            lambda: old.add(b"content"),
            old.describe,
        ):
            with pytest.raises(contentdb.LeaseEndedError):
                call()
        assert list(new.items()) == []
        old.close()
        assert [info.id for info in store.leases()] == ["mine"]


def test_nor_ended_at_another_server(foreign: RemoteStore) -> None:
    old = foreign.lease(id="mine", lasting=True)
    foreign.end_lease("mine")
    with foreign.lease(id="mine", lasting=True):
        old.close()
        assert [info.id for info in foreign.leases()] == ["mine"]


def test_the_clock_of_a_contentdb_counts(
    store: RemoteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of its client may be wrong by hours."""
    with store.lease(expires=timedelta(hours=1), id="mine") as lease:
        later = time.time_ns() + 7200 * 10**9
        monkeypatch.setattr("contentdb.remote.leases.time", SimpleNamespace(time_ns=lambda: later))
        assert [info.id for info in store.leases()] == ["mine"]
        assert lease.describe().id == "mine"


def test_the_clock_of_its_client_counts_at_another_server(
    foreign: RemoteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lists leases that have expired, too, until it has collected."""
    real = leasing.lease_of

    def old(info: LeaseInfo) -> object:
        message = real(info)
        message.ClearField("lives")
        return message

    monkeypatch.setattr("contentdb.server.leases.lease_of", old)
    with foreign.lease(expires=timedelta(hours=1), id="mine"):
        assert [info.id for info in foreign.leases()] == ["mine"]
        later = time.time_ns() + 7200 * 10**9
        monkeypatch.setattr("contentdb.remote.leases.time", SimpleNamespace(time_ns=lambda: later))
        assert list(foreign.leases()) == []


def test_an_id_that_no_header_can_be(store: RemoteStore) -> None:
    with store.lease(id=" ü\n", lasting=True) as lease:
        digest = lease.add(b"content").digest
        assert list(lease.items()) == [LeaseItem("content", digest)]


def test_labels_of_stored_content_are_set_by_its_lease(store: RemoteStore) -> None:
    digest = store.add(b"content").digest
    with store.lease(lasting=True) as lease:
        assert dict(lease.add(b"content", labels={"k": "v"}).labels) == {"k": "v"}
        assert list(lease.items()) == [LeaseItem("content", digest)]


def test_a_lease_can_be_pickled(store: RemoteStore) -> None:
    """What is made of it uses the lease, and does not end it."""
    with store.lease(lasting=True) as lease:
        again = pickle.loads(pickle.dumps(lease))  # noqa: S301 - its own
        digest = again.add(b"content").digest
        again.close()
        assert list(lease.items()) == [LeaseItem("content", digest)]


def test_another_server_adds_before_it_looks(foreign: RemoteStore) -> None:
    """So that nothing takes the blob in between; what is not there is dropped again."""
    digest = foreign.add(b"content").digest
    with foreign.lease(expires=timedelta(hours=1)) as lease:
        assert lease.keep(digest)
        assert not lease.keep(ABSENT)
        assert not lease.exists(ABSENT)
        assert list(lease.items()) == [LeaseItem("content", digest)]
        more = lease.add(b"more").digest
        assert LeaseItem("content", more) in set(lease.items())
    assert list(foreign.leases()) == []


def test_another_server_is_not_given_an_id_that_no_header_can_be(foreign: RemoteStore) -> None:
    """It would pass over our own header, and keep nothing."""
    with pytest.raises(contentdb.FailedPreconditionError, match="printable ASCII"):
        foreign.lease(id="ü", lasting=True)
    with pytest.raises(contentdb.FailedPreconditionError, match="printable ASCII"):
        foreign.use_lease("ü")
    assert list(foreign.leases()) == []


def test_a_server_without_leases_has_none(
    tmp_path: Path, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tuple(rpc for rpc in RPCS if rpc.service not in {LEASES, KEEPING})
    monkeypatch.setattr(service, "RPCS", left)
    with Server(tmp_path / "store") as server:
        server.listen_unix(socket_path)
        server.start()
        with connect(str(socket_path)) as store:
            assert list(store.leases()) == []
            with pytest.raises(contentdb.StoreError, match="UNIMPLEMENTED"):
                store.lease(lasting=True)
            with pytest.raises(contentdb.StoreError, match="UNIMPLEMENTED"):
                store.use_lease("l")
