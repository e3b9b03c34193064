"""A held lease lives as long as its process; what its stores are made of; a store that packs."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

import contentdb
from contentdb.digest import Digest
from contentdb.errors import IndexBusyError, LeaseEndedError, NotFoundError, StoreClosedError
from contentdb.local.index import Outcome
from tests.inside import parts_of

if TYPE_CHECKING:
    from pathlib import Path

    from contentdb import Store

_HOLD = """
import contentdb, sys
store = contentdb.open(sys.argv[1])
lease = store.lease(id="theirs")
lease.add(b"theirs")
print("held", flush=True)
sys.stdin.read()
"""


def held(store: Store) -> dict[str, str | None]:
    return {info.id: info.holder for info in store.leases()}


@pytest.mark.parametrize("stopped", [False, True])
def test_a_held_lease_ends_with_its_process(store: Store, *, stopped: bool) -> None:
    """4.14: killed, and not a moment before; a stopped process lives."""
    script = [sys.executable, "-c", _HOLD, str(store.root)]
    with subprocess.Popen(script, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        if stopped:
            child.send_signal(signal.SIGSTOP)
        assert held(store) == {"theirs": f"process {child.pid} on {os.uname().nodename}"}
        used = store.use_lease("theirs")
        assert used.keep(Digest.of(b"theirs"))
        child.kill()
    assert held(store) == {}
    with pytest.raises(NotFoundError):
        store.use_lease("theirs")
    with pytest.raises(NotFoundError):
        store.end_lease("theirs")
    assert list(store.lease(id="theirs").items()) == []


def test_the_child_of_a_fork_does_not_have_the_lease(store: Store) -> None:
    """4.14: it cannot use it, and does not keep it alive."""
    lease = store.lease(id="l")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - coverage does not follow
        code = 1
        try:
            lease.add(b"content")
        except LeaseEndedError:
            lease.close()
            code = 0
        os.close(write)
        os.read(read, 1)
        os._exit(code)
    os.close(read)
    assert lease.keep(lease.add(b"content").digest)
    lease.close()
    assert held(store) == {}
    assert list((store.root / "ingest").iterdir()) == []
    os.close(write)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_forgotten_lease_has_ended(store: Store) -> None:
    """4.14: nothing refers to its object any more, so nothing can be kept through it."""
    lease = store.lease(id="l")
    lease.add(b"content")
    del lease
    gc.collect()
    assert held(store) == {}
    store.lease(id="l").close()


def test_a_lease_keeps_its_store_open(root: Path) -> None:
    lease = contentdb.open(root).lease()
    gc.collect()
    assert lease.keep(lease.add(b"content").digest)
    lease.close()


def test_a_lease_whose_store_is_closed(root: Path) -> None:
    """It takes no calls; a held one ends by letting go of its lock, a timed one cannot be ended."""
    store = contentdb.open(root)
    lease = store.lease(id="held")
    timed = store.lease(id="timed", expires=timedelta(hours=1))
    store.close()
    with pytest.raises(StoreClosedError):
        lease.add(b"content")
    lease.close()
    with pytest.raises(StoreClosedError):
        timed.close()
    with contentdb.open(root) as again:
        assert held(again) == {"timed": None}


def test_closing_a_store_closes_writers_of_its_leases(root: Path) -> None:
    store = contentdb.open(root)
    writer = store.lease().writer("r")
    store.close()
    with contentdb.open(root) as again:
        again.writer("r").close()
        assert writer.closed


def test_a_file_is_locked_before_its_row_is_seen(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else another process could take the new lease for a dead one."""
    index = parts_of(store).index
    begin = index.begin_lease
    seen: list[list[str]] = []

    def look_first(*arguments: object) -> None:
        begin(*arguments)  # type: ignore[arg-type]
        with contentdb.open(store.root) as other:
            seen.append(list(held(other)))

    monkeypatch.setattr(index, "begin_lease", look_first)
    with store.lease(id="l"):
        assert seen == [["l"]]


def test_a_refused_lease_leaves_no_file(store: Store) -> None:
    with store.lease(id="l"):
        before = list((store.root / "ingest").iterdir())
        with pytest.raises(contentdb.LeaseExistsError):
            store.lease(id="l")
        assert list((store.root / "ingest").iterdir()) == before


def test_a_group_of_one_lease_that_ends_fails_whole(store: Store) -> None:
    """Its files do not become blobs, and nothing of them is left."""
    lease = store.lease()

    def add_two() -> None:
        with lease.batch() as batch:
            batch.add(b"one")
            batch.add(b"two")
            store.end_lease(lease.id)

    with pytest.raises(LeaseEndedError):
        add_two()
    assert not store.exists(Digest.of(b"one"))


@pytest.mark.parametrize("below", [0, 1000])
def test_other_work_goes_on_where_a_lease_ends(root: Path, below: int) -> None:
    """A transaction that threads share fails for the lease's blobs alone."""
    with contentdb.open(root, pack_below=below) as store:
        lease = store.lease()
        store.end_lease(lease.id)
        with pytest.raises(LeaseEndedError):
            lease.add(b"its")
        store.add(b"not its")
        assert not store.exists(Digest.of(b"its"))
        assert store.exists(Digest.of(b"not its"))


def test_a_packed_blob_comes_back_with_its_lease(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut takes row and item of a packed blob, which its record makes again."""
    with contentdb.open(root, pack_below=1000) as store:
        lease = store.lease(lasting=True, id="l")
        index = parts_of(store).index
        with monkeypatch.context() as patch:
            patch.setattr(
                type(index),
                "record_packed",
                lambda _self, entries, _pack, _end: [Outcome.CREATED for _ in entries],
            )
            digest = lease.add(b"content").digest
        assert list(lease.items()) == []
    with contentdb.open(root) as store:
        assert store.exists(digest)
        assert [item.name for item in store.use_lease("l").items()] == [digest]


def test_an_end_that_failed_frees_no_lock_of_another(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file is closed then; the number of its descriptor may be a writer's by now."""
    lease = store.lease()

    def refuse(*_arguments: object) -> None:
        raise IndexBusyError("index.sqlite", "it is locked")

    with monkeypatch.context() as patched:
        patched.setattr("contentdb.local.engine.leases.end_lease", refuse)
        with pytest.raises(IndexBusyError):
            lease.end()
    with store.writer("r"):
        lease.close()
        with pytest.raises(contentdb.RefLockedError), contentdb.open(store.root) as other:
            other.writer("r")
