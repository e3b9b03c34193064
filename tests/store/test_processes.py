"""Many processes on one root: one holder a ref, and nobody's death takes anything along."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest

import contentdb
from contentdb import Digest, RefLockedError
from contentdb.testing.threads import LIMIT_S, begun
from tests.fixtures import Child, blob_files

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = bytes(range(256)) * 10_000

INGEST = """
import io
class Counting(io.BytesIO):
    count = 0
    def read(self, size=-1):
        data = super().read(size); Counting.count += len(data); return data
    def readinto(self, buffer):
        count = super().readinto(buffer); Counting.count += count; return count
store = contentdb.open(root)
print("ready", flush=True)
input()
info = store.ingest(args[0], Counting(bytes(range(256)) * 10_000), expected=args[1])
print(info.digest, Counting.count, flush=True)
"""

HOLD = """
store = contentdb.open(root)
writer = store.writer(args[0])
writer.write(b"con")
print("holding", flush=True)
input()
writer.write(b"tent")
print(writer.commit().digest, flush=True)
"""

OPEN = """
print("ready", flush=True)
input()
store = contentdb.open(root)
print(store.add(args[0].encode()).digest, flush=True)
"""


@pytest.mark.parametrize("refs", ["one ref", "ten refs"])
def test_ten_processes_ingest_one_content(root: Path, refs: str) -> None:
    """All succeed and one blob is there; of those with the same ref only one reads its source."""
    digest = Digest.of(CONTENT)
    names = ["same"] * 10 if refs == "one ref" else [f"ref {number}" for number in range(10)]
    with ExitStack() as stack:
        children = [stack.enter_context(Child(INGEST, root, name, digest)) for name in names]
        assert [child.heard() for child in children] == ["ready"] * 10
        for child in children:
            child.say()
        outcomes = [child.heard().split() for child in children]
        assert [child.end() for child in children] == [0] * 10
    assert {outcome[0] for outcome in outcomes} == {digest}
    if refs == "one ref":
        assert sum(int(count) for _digest, count in outcomes) == len(CONTENT)
    with contentdb.open(root, create=False) as store:
        assert [info.digest for info in store.walk()] == [digest]
        assert list(store.statuses()) == []
        assert store.read(digest) == CONTENT
        assert list(store.verify()) == []


def test_ten_processes_make_one_store(root: Path) -> None:
    """Opening a fresh root at once makes one store, and each one's blob is in it."""
    with ExitStack() as stack:
        children = [stack.enter_context(Child(OPEN, root, number)) for number in range(10)]
        assert [child.heard() for child in children] == ["ready"] * 10
        for child in children:
            child.say()
        digests = {child.heard() for child in children}
        assert [child.end() for child in children] == [0] * 10
    assert digests == {Digest.of(b"%d" % number) for number in range(10)}
    with contentdb.open(root, create=False) as store:
        assert {info.digest for info in store.walk()} == digests


def test_a_killed_holder_is_taken_over(store: contentdb.Store, root: Path) -> None:
    """3.3: the lock dies with SIGKILL; the next writer finds every byte that reached the file."""
    with Child(HOLD, root, "r") as child:
        assert child.heard() == "holding"
        with pytest.raises(RefLockedError):
            store.writer("r")
        child.kill()
        assert not store.status("r").held
        with store.writer("r", resume=True) as writer:
            assert (writer.offset, writer.digest) == (3, Digest.of(b"con"))
            writer.write(b"tent")
            assert writer.commit().digest == Digest.of(b"content")


def test_a_waiter_is_woken_by_the_holders_death(store: contentdb.Store, root: Path) -> None:
    with Child(HOLD, root, "r") as child:
        assert child.heard() == "holding"
        waiting = begun(lambda: store.writer("r", wait=True, resume=True))
        child.kill()
        with waiting.result(LIMIT_S) as writer:
            assert writer.offset == 3


@pytest.mark.parametrize("drop", ["abort", "prune"])
def test_a_ref_that_is_being_dropped_is_not_refused(
    store: contentdb.Store, root: Path, drop: str
) -> None:
    """Nobody is told that a dead writer holds a ref while its ingest waits to be forgotten."""
    with store.writer("r") as writer:
        writer.write(b"old")
    drops = {"abort": lambda: store.abort("r"), "prune": lambda: list(store.prune(older_than=0))}
    with (
        contentdb.open(root) as other,
        closing(sqlite3.connect(root / "index.sqlite", isolation_level=None)) as busy,
    ):
        busy.execute("BEGIN IMMEDIATE")
        dropping = begun(drops[drop])
        time.sleep(0.1)
        beginning = begun(lambda: other.writer("r", resume=True))
        time.sleep(0.1)
        busy.execute("ROLLBACK")
        dropping.result(LIMIT_S)
        with beginning.result(LIMIT_S) as writer:
            assert writer.offset == 0
            writer.write(b"new")
            assert store.read(writer.commit().digest) == b"new"


def test_a_killed_holders_ingest_can_be_aborted(store: contentdb.Store, root: Path) -> None:
    with Child(HOLD, root, "r") as child:
        assert child.heard() == "holding"
        child.kill()
        store.abort("r")
    assert list(store.statuses()) == []
    assert list((root / "ingest").iterdir()) == []


def test_a_stopped_holder_keeps_its_lock(store: contentdb.Store, root: Path) -> None:
    """3.3: a process that does nothing for however long is alive: its ref is never taken."""
    with Child(HOLD, root, "r") as child:
        assert child.heard() == "holding"
        child.signal(signal.SIGSTOP)
        os.waitpid(child.pid, os.WUNTRACED)
        try:
            for call in (store.writer, store.abort):
                with pytest.raises(RefLockedError):
                    call("r")
            assert store.status("r").held
        finally:
            child.signal(signal.SIGCONT)
        child.say()
        assert child.heard() == Digest.of(b"content")
        assert child.end() == 0
    assert blob_files(root) == {Digest.of(b"content"): b"content"}


def test_the_refusal_names_the_process(store: contentdb.Store, root: Path) -> None:
    with Child(HOLD, root, "r") as child:
        assert child.heard() == "holding"
        with pytest.raises(RefLockedError, match=str(child.pid)) as caught:
            store.writer("r")
        assert caught.value.held_s is not None
        child.kill()


def test_blobs_survive_their_writers_death(store: contentdb.Store, root: Path) -> None:
    """6.2: what a process was told is stored is there after its SIGKILL."""
    script = OPEN + "input()\n"
    with Child(script, root, "kept") as child:
        assert child.heard() == "ready"
        child.say()
        digest = child.heard()
        child.kill()
    assert store.read(digest) == b"kept"
    assert list(store.verify()) == []
