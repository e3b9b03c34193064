"""Leases over hosts: they end with their process, by the server's clock, or by a fence."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

import contentdb
from contentdb.cluster.catalog import lease_items, leases
from contentdb.content import LeaseItem
from contentdb.errors import LeaseEndedError, NotFoundError
from contentdb.server.daemon import Server
from tests.inside import resources_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HOLD = """
import sys, time, contentdb
lease = contentdb.open(sys.argv[1]).lease(id="held")
lease.add(b"theirs")
print("held", flush=True)
time.sleep(3600)
"""


@pytest.fixture
def other(place: str) -> Iterator[contentdb.Store]:
    """The store as another process has it."""
    with contentdb.open(f"{place}?application_name=other") as store:
        yield store


def rows(store: contentdb.Store, statement: str) -> list[tuple[object, ...]]:
    return resources_of(store).database.rows(statement)


def test_a_held_lease_ends_with_its_process(store: contentdb.Store, place: str) -> None:
    """4.14: killed, it ends once PostgreSQL has noticed; its id is free at once then."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, place], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "held"
        (info,) = store.leases()
        assert info.holder is not None
        assert info.holder.startswith(f"process {process.pid} on")
        with pytest.raises(contentdb.LeaseExistsError):
            store.lease(id="held")
        used = store.use_lease("held")
        process.kill()
        process.wait()
    while list(store.leases()):
        time.sleep(0.01)
    with pytest.raises(NotFoundError):
        store.use_lease("held")
    with store.lease(id="held") as again:
        assert list(again.items()) == []
        with pytest.raises(LeaseEndedError):
            used.add(b"more")
    assert rows(store, "SELECT count(*) FROM leases") == [(0,)]


def test_a_lease_of_a_stopped_server_connection_lives(
    store: contentdb.Store, other: contentdb.Store
) -> None:
    """Its process comes back with its session, unless somebody has found that dead meanwhile."""
    resources = resources_of(store)
    lease = store.lease()
    with resources.session.hearing("never") as again:
        resources.database.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
        )
        assert again.wait(60)
    assert lease.add(b"content").new
    assert [info.id for info in other.leases()] == [lease.id]


def test_a_fence_ends_what_its_process_holds(
    store: contentdb.Store, other: contentdb.Store
) -> None:
    """Not timed and lasting ones: no process holds them."""
    held, lasting = store.lease(), store.lease(lasting=True)
    digest = store.add(b"content").digest
    resources_of(store).database.change("UPDATE sessions SET fenced = true")
    for call in (lambda: held.keep(digest), lambda: held.add(b"c" * 9000), held.describe):
        with pytest.raises(LeaseEndedError):
            call()
    assert lasting.keep(digest)
    assert lasting.add(b"c" * 9000).new
    assert [info.id for info in other.leases()] == [lasting.id]


def test_the_servers_clock_ends_a_lease(
    store: contentdb.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host whose clock is a day ahead gets an hour, too."""
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 86_400 * 10**9)
    lease = store.lease(expires=timedelta(hours=1))
    monkeypatch.undo()
    info = lease.describe()
    assert info.expires_ns is not None
    assert timedelta(minutes=59) < timedelta(
        microseconds=(info.expires_ns - time.time_ns()) // 1000
    ) <= timedelta(hours=1)  # fmt: skip


def test_who_ends_a_lease_waits_for_a_commit_under_way(store: contentdb.Store) -> None:
    """What is kept by a lease is kept by one that lives: its row is locked first."""
    lease = store.lease(lasting=True)
    key = resources_of(lease).lease
    assert key is not None
    database = resources_of(store).database
    with database.connect() as one, database.connect() as two:
        one.execute("BEGIN")
        leases.check_lives(one, key)
        two.execute("SET lock_timeout = '50ms'")
        with pytest.raises(Exception, match="lock timeout"):
            two.execute(leases._END, {"lease": key.token})
        one.execute("ROLLBACK")
    lease.end()


def test_the_end_of_a_lease_may_be_cut_off(
    store: contentdb.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps nothing from the first transaction on; what is left is let go of later."""
    database = resources_of(store).database
    lease = store.lease(id="l", lasting=True)
    digest = lease.add(b"content").digest
    with monkeypatch.context() as patch:
        patch.setattr(lease_items, "let_go", lambda *_given: None)
        lease.end()
    assert not lease_items.is_leased(database, "default", "content", digest)
    again = store.lease(id="l", lasting=True)
    assert list(again.items()) == []
    left = list(leases.dead(database, "default", dry_run=False))
    assert [key.id for key in left] == ["l"]
    for key in left:
        lease_items.let_go(database, "default", key)
    assert rows(store, "SELECT count(*) FROM lease_items") == [(0,)]
    assert again.keep(digest)


def test_a_prune_leaves_a_leased_ingest(store: contentdb.Store) -> None:
    for ref in ("abandoned", "leased"):
        store.writer(ref).close()
    with store.lease() as lease:
        lease.add_item("ingest", "leased")
        found = [one.name for one in store.prune(older_than=0) if one.kind == "ingest"]
    assert found == ["abandoned"]


def test_leases_of_clients(place: str, store: contentdb.Store, tmp_path: Path) -> None:
    """The service Leases, over a store in a database."""
    with Server(place) as server:
        server.listen_unix(tmp_path / "socket")
        server.start()
        with contentdb.connect(str(tmp_path / "socket")) as client:
            lease = client.lease(expires=timedelta(hours=1))
            digest = lease.add(b"content").digest
            assert [info.id for info in store.leases()] == [lease.id]
            assert list(store.use_lease(lease.id).items()) == [LeaseItem("content", digest)]
            client.end_lease(lease.id)
            assert list(store.leases()) == []
