"""Room that is reserved: who has it, who gives it back, and that it costs little."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sqlite3
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

import contentdb
from contentdb import files
from contentdb.local.reservation import Reservation
from contentdb.local.upkeep.collect import Run
from contentdb.local.upkeep.evict import terms_of
from tests.inside import parts_of, wrong_totals

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from contentdb import Store
    from contentdb.content import Collected

NO_GRACE = timedelta(0)
MOST = 1_000_000


@pytest.fixture
def store(root: Path) -> Iterator[Store]:
    with contentdb.open(root) as store:
        store.set_policy(max_bytes=MOST, grace=NO_GRACE)
        yield store


def reserved(store: Store) -> int:
    found = store.queue_status().reserved
    assert found is not None
    return found


def rows(root: Path) -> list[tuple[str, int]]:
    with contextlib.closing(sqlite3.connect(root / "index.sqlite")) as db:
        return db.execute("SELECT name, bytes FROM reservations").fetchall()


def kill_within(root: Path, code: str) -> None:
    """Run code in a process that kills itself at its end."""
    text = f"import contentdb, io, os\nstore = contentdb.open({str(root)!r})\n{code}\n"
    command = [sys.executable, "-c", text + "os.kill(os.getpid(), 9)"]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL


def test_the_dead_give_it_back_when_others_need_it(store: Store, root: Path) -> None:
    """4.23: all but what the bytes of a killed ingest take."""
    kill_within(root, f"w = store.writer('r', total={MOST}); w.write(bytes(1000))")
    assert reserved(store) == MOST
    store.add(bytes(MOST - 1000))
    assert (reserved(store), store.queue_status().bytes) == (1000, MOST - 1000)
    with pytest.raises(contentdb.QuotaExceededError):
        store.add(bytes(MOST - 999))


def test_an_opening_gives_back_what_the_dead_had(store: Store, root: Path) -> None:
    """4.23: an add that was killed leaves nothing else."""
    kill_within(
        root,
        "class Twice:\n"
        "    def read(self, size):\n"
        "        if hasattr(self, 'was_read'): os.kill(os.getpid(), 9)\n"
        "        self.was_read = True\n"
        "        return bytes(5000)\n"
        "store.add(Twice())",
    )
    assert reserved(store) >= 5000
    with contentdb.open(root):
        assert reserved(store) == 0


def test_what_is_stored_while_a_run_waits_makes_room(store: Store, root: Path) -> None:
    """4.22: a run that waited for another one begins after that, not before."""
    parts, policy = parts_of(store), store.policy()
    assert policy is not None
    directory = files.open_directory(str(root / "ingest"))
    assert files.lock(directory.fd, directory.path)
    steps = Run(parts, terms_of(policy), room_bytes=MOST).steps()
    assert next(steps) is None
    digest = store.add(bytes(MOST)).digest
    files.unlock(directory.fd)
    directory.close()
    assert [step.digest for step in steps if step] == [digest]


def test_room_that_others_take_is_made_again(
    store: Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """4.22: a run that takes nothing has found room, and a writer gets that first."""
    original, writers = Run.steps, [store.writer("first", total=MOST)]

    def abort() -> None:
        writers.pop().close()
        for status in store.statuses():
            store.abort(status.ref)

    def steps(run: Run) -> Iterator[Collected | None]:
        again = len(runs)
        runs.append(run)
        abort()
        yield from original(run)
        if not again:
            writers.append(store.writer("second", total=MOST))

    runs: list[Run] = []
    monkeypatch.setattr(Run, "steps", steps)
    with contentdb.open(root) as other:
        other.add(b"content")
    assert len(runs) == 2


@contextlib.contextmanager
def bound_anew(store: Store) -> Iterator[None]:
    """Remove the bound, set it anew, and let another one take most of the room for the block."""
    store.clear_policy()
    store.set_policy(max_bytes=MOST, grace=NO_GRACE)
    with store.writer("another", total=MOST - 1000):
        yield


def test_a_commit_asks_whether_it_still_has_its_room(store: Store, root: Path) -> None:
    """4.22: a bound that was removed and set anew knows nothing of what was reserved before."""
    with store.writer("r", total=2000) as writer:
        writer.write(bytes(2000))
        with bound_anew(store), pytest.raises(contentdb.QuotaExceededError):
            writer.commit()


@pytest.mark.parametrize("pack_below", [None, 32_768])
@pytest.mark.parametrize("way", ["add", "writer"])
def test_a_group_asks_whether_it_still_has_its_room(
    tmp_path: Path, way: str, pack_below: int | None
) -> None:
    """4.22: as one commit does; a batch may be written long after it reserved."""
    path = tmp_path / "packed or not"
    with contentdb.open(path, pack_below=pack_below) as store, contentdb.open(path) as other:
        store.set_policy(max_bytes=MOST, grace=NO_GRACE)
        with contextlib.ExitStack() as anew:
            batch = anew.enter_context(contextlib.ExitStack())
            batch.enter_context(store.batch())
            if way == "add":
                store.add(bytes(2000))
            else:
                writer = batch.enter_context(store.writer("r", total=2000))
                writer.write(bytes(2000))
                writer.commit()
            anew.enter_context(bound_anew(other))
            with pytest.raises(contentdb.QuotaExceededError):
                batch.close()
        assert not list(store.walk())


def test_a_stream_asks_whether_it_still_has_its_room(store: Store) -> None:
    """4.22: as a commit does."""

    class Slow:
        pieces = [bytes(2000), b""]  # noqa: RUF012 - of one instance

        def read(self, size: int) -> bytes:  # noqa: ARG002 - of the role
            piece, *self.pieces = self.pieces
            if not piece:
                anew.enter_context(bound_anew(store))
            return piece

    with contextlib.ExitStack() as anew, pytest.raises(contentdb.QuotaExceededError):
        store.add(Slow())


class HandlerError(Exception):
    """Raised by the signal handler of these tests."""


@pytest.mark.parametrize("step", ["reserve", "lower_reservation"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_signal_handler_that_raises_leaves_nothing_reserved(
    store: Store, root: Path, step: str, when: str
) -> None:
    """6.6, 4.23: before a transaction on a reservation, or once it has landed."""
    index = parts_of(store).index
    original = getattr(index, step)

    def interrupt(*arguments: object, **options: object) -> None:
        patch.undo()
        if when == "after":
            original(*arguments, **options)
        raise HandlerError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, step, interrupt)
        with pytest.raises(HandlerError):
            store.add(io.BytesIO(b"content"))
    assert rows(root) == []


def test_what_a_signal_handler_kept_from_being_given_back_is_given_back_later(
    store: Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """6.6, 4.23: by the next one that reserves, and by one that needs the room."""

    def interrupt(_room: Reservation) -> None:
        raise HandlerError

    for data in (b"next", bytes(MOST)):
        with monkeypatch.context() as patch, contextlib.suppress(HandlerError):
            patch.setattr(Reservation, "close", interrupt)
            store.add(io.BytesIO(b"content of %d" % len(data)))
        assert len(rows(root)) == 1
        store.add(data)
        assert rows(root) == []


def test_those_who_live_keep_it(store: Store, root: Path) -> None:
    """4.22: an opening, a prune and a full store take nothing from a writer."""
    with store.writer("r", total=MOST // 2) as writer:
        with contentdb.open(root) as other:
            other.prune(older_than=0)
            with pytest.raises(contentdb.QuotaExceededError):
                other.add(bytes(MOST // 2 + 1))
            assert reserved(other) == MOST // 2
        writer.write(bytes(MOST // 2))
        writer.commit()
    assert rows(root) == []


def test_a_child_has_nothing_of_its_parent(store: Store, root: Path) -> None:
    """6.6: it reserves for itself, and its end gives back nothing of the parent's."""
    with store.writer("r", total=MOST // 2):
        store.add(b"a lock for the parent")
        child = os.fork()
        if not child:
            try:
                store.add(b"of the child")
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        assert reserved(store) == MOST // 2
    store.abort("r")
    assert rows(root) == []


def test_an_ingest_that_begins_anew_has_only_what_it_needs(store: Store) -> None:
    with store.writer("r") as writer:
        writer.write(bytes(10_000))
    with store.writer("r"):
        assert reserved(store) == 0
    with store.writer("r", total=10):
        assert reserved(store) == 10


def test_a_stream_reserves_in_steps(store: Store) -> None:
    """Not all that is free: ten writers find room beside each other."""
    writers = [store.writer(str(number)) for number in range(10)]
    for writer in writers:
        writer.write(bytes(1000))
    assert 10_000 <= reserved(store) <= 10 * (1000 + MOST // 64)
    for writer in writers:
        writer.commit()
    assert reserved(store) == 0


def test_an_add_that_fails_gives_it_back(store: Store, root: Path) -> None:
    class Broken(io.RawIOBase):
        def readinto(self, buffer: object) -> int:  # noqa: ARG002 - of the role
            raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        store.add(Broken())
    with pytest.raises(contentdb.DigestMismatchError):
        store.add(io.BytesIO(b"content"), expected="sha256:" + "0" * 64)
    assert rows(root) == []


def test_a_batch_that_is_larger_than_the_bound_turns_it_over(store: Store, root: Path) -> None:
    with store.batch():
        for number in range(300):
            store.add(b"%d" % number * 3000)
    assert rows(root) == []
    assert wrong_totals(parts_of(store)) == []


def test_another_namespace_has_no_bound(store: Store, root: Path) -> None:
    with contentdb.open(root, namespace="other") as other:
        other.add(bytes(2 * MOST))
        assert other.queue_status().bytes is None
    assert store.queue_status().bytes == 0


def test_content_of_another_namespace_needs_room(store: Store, root: Path) -> None:
    """4.22: it counts in both."""
    with contentdb.open(root, namespace="other") as other:
        digest = other.add(bytes(MOST + 1)).digest
    with contentdb.open(root, sharing="shared") as shared:
        with pytest.raises(contentdb.QuotaExceededError):
            shared.add(b"", expected=digest)
        assert not shared.exists(digest)


def test_it_crosses_the_wire(root: Path) -> None:
    """The client of a server gets the error that the store raised."""
    pytest.importorskip("grpc", reason="needs the extra `grpc`")
    import grpc

    from contentdb.wire.statuses import code_of, describe, unpack

    error = contentdb.QuotaExceededError("n", 3, 2)
    assert code_of(error) is grpc.StatusCode.RESOURCE_EXHAUSTED
    back = unpack([("contentdb-error-bin", describe(error))])
    assert isinstance(back, contentdb.QuotaExceededError)
    assert (back.namespace, back.wanted, back.max_bytes, str(back)) == ("n", 3, 2, str(error))


def test_a_store_without_a_bound_has_no_triggers(root: Path, store: Store) -> None:
    """They go with the last bound, and come with the first."""
    count = "SELECT count(*) FROM sqlite_master WHERE type = 'trigger'"
    with contextlib.closing(sqlite3.connect(root / "index.sqlite")) as db:
        assert db.execute(count).fetchone() == (7,)
        store.set_policy(grace=NO_GRACE)
        assert db.execute(count).fetchone() == (0,)


def test_an_index_made_anew_keeps_the_bound(store: Store, root: Path) -> None:
    """It counts what there is anew, and stores no more than before."""
    store.add(bytes(1000))
    writer = store.writer("r")
    writer.write(bytes(500))
    writer.close()
    policy = store.policy()
    store.close()
    with contextlib.closing(sqlite3.connect(root / "index.sqlite")) as db:
        [page] = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'ix_blobs_review'")
    with (root / "index.sqlite").open("r+b") as file:
        file.seek((page[0] - 1) * 4096)
        file.write(bytes(4096))
    contentdb.reindex(root)
    with contentdb.open(root) as again:
        assert again.policy() == policy
        assert again.queue_status().bytes == 1000
        assert reserved(again) == 500
        with pytest.raises(contentdb.QuotaExceededError):
            again.add(bytes(MOST + 1))
        again.add(b"more")
        assert again.queue_status().bytes == 1004


def test_a_lost_file_of_flags_ends_no_bound(store: Store, root: Path) -> None:
    """The index tells that there is one: a copy may lack the file."""
    store.close()
    (root / "index.sqlite-shared").unlink()
    with contentdb.open(root) as again, pytest.raises(contentdb.QuotaExceededError):
        again.add(bytes(MOST + 1))
