"""What must not grow: statements, transactions and syncs of an add, a commit, a group.

They are counted, not timed: a machine has its moods, a count has none.
"""

from __future__ import annotations

import io
from collections import Counter
from typing import TYPE_CHECKING, Final

import pytest

import contentdb
from contentdb import files, forks
from contentdb.local.index import database
from tests.inside import parts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from sqlite3 import Connection

    from contentdb import Store

    Count = Callable[[Callable[[], object]], dict[str, int]]


_SEAM: Final = (
    "sync", "sync_data", "sync_directory", "sync_filesystem", "open_file", "create_unnamed",
)  # fmt: skip


@pytest.fixture
def store(root: Path) -> Iterator[Store]:
    """A store of which everything is in use already."""
    with contentdb.open(root) as store:
        store.add(b"the first")
        yield store


@pytest.fixture
def count(store: Store, monkeypatch: pytest.MonkeyPatch) -> Count:
    """Run a call and count what it asks of the disk and of the index."""
    counts: Counter[str] = Counter()

    def trace(statement: str) -> None:
        word = statement.split(maxsplit=1)[0].upper()
        counts[word if word in {"BEGIN", "COMMIT"} else "statements"] += 1

    for name in _SEAM:
        original = getattr(files, name)

        def counting(*args: object, name: str = name, original: object = original) -> object:
            counts[name] += 1
            return original(*args)  # type: ignore[operator]

        monkeypatch.setattr(files, name, counting)
    connect = database.connect

    def traced(*args: object, **options: object) -> Connection:
        made = connect(*args, **options)  # type: ignore[arg-type]
        made.set_trace_callback(trace)
        return made

    monkeypatch.setattr(database, "connect", traced)
    monkeypatch.setattr("contentdb.local.index.readers.connect", traced)
    parts_of(store).index.before_fork()  # connections are made anew, traced
    forks.free()
    store.add(b"the second")

    def measure(call: Callable[[], object]) -> dict[str, int]:
        counts.clear()
        call()
        return dict(counts)

    return measure


def test_an_add_costs_three_syncs_and_one_transaction(store: Store, count: Count) -> None:
    """File, directory, and the log of the index after the COMMIT."""
    assert count(lambda: store.add(b"content")) == {
        "create_unnamed": 1, "sync": 1, "sync_directory": 1, "sync_data": 1,
        "BEGIN": 1, "COMMIT": 1, "statements": 1,
    }  # fmt: skip


def test_known_content_costs_nothing(store: Store, count: Count) -> None:
    digest = store.add(b"content").digest
    assert count(lambda: store.add(b"content", expected=digest)) == {}
    assert count(lambda: store.add(b"content")) == {}
    assert count(lambda: store.info(digest)) == {}


def test_a_read_asks_no_database(store: Store, count: Count) -> None:
    digest = store.add(b"content").digest
    assert count(lambda: store.read(digest)) == {"open_file": 1}
    assert count(lambda: store.path(digest)) == {}


def test_a_store_that_collects_is_read_and_opened_as_cheaply(
    root: Path, store: Store, count: Count
) -> None:
    """Only the first answer about content since a process last looked is written down."""

    def open_and_close() -> None:
        contentdb.open(root).close()

    before = count(open_and_close)
    digests = [store.add(b"%d" % number).digest for number in range(30)]
    lease = store.lease(lasting=True)
    for digest in digests:
        store.tag(digest, digest)
        lease.keep(digest)
    store.collect()
    store.add(b"0")
    assert count(open_and_close) == before
    assert count(lambda: store.read(digests[0])) == {"open_file": 1}
    assert count(lambda: store.add(b"0")) == {}


def test_lines_are_not_read_byte_by_byte(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = store.add((b"x" * 50 + b"\n") * 100 + b"y" * 100_000).digest
    reads: list[int] = []
    read_at = files.read_at

    def counting(fd: int, size: int, *rest: object) -> bytes:
        reads.append(size)
        return read_at(fd, size, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(files, "read_at", counting)
    with store.open(digest) as reader:
        assert len(list(reader)) == 101
    assert len(reads) < 250


def test_a_writer_costs_two_transactions(store: Store, count: Count) -> None:
    """One begins, without a sync of its own; one records and ends the ingest."""

    def write() -> None:
        with store.writer("r") as writer:
            writer.write(b"content")
            writer.commit()

    found = count(write)
    assert (found["BEGIN"], found["COMMIT"]) == (2, 2)
    assert (found["sync"], found["sync_directory"], found["sync_data"]) == (1, 1, 1)
    assert found["open_file"] == 1
    assert found["statements"] <= 8


def test_an_ingest_costs_what_a_writer_costs(store: Store, count: Count) -> None:
    """A source that nothing was left of is neither compared nor declared once more."""
    noted = {"etag": "1"}
    found = count(
        lambda: store.ingest("r", io.BytesIO(b"content"), total=7, metadata=noted, progress=print)
    )
    assert (found["BEGIN"], found["COMMIT"]) == (2, 2)
    assert (found["sync"], found["sync_directory"], found["sync_data"]) == (1, 1, 1)
    assert found["open_file"] == 1
    assert found["statements"] <= 8


def test_starting_over_costs_one_synced_transaction(store: Store, count: Count) -> None:
    """It is for bytes that a row vouches for; a ref that is new has none."""

    def begin() -> None:
        store.writer("r").close()

    assert count(begin)["COMMIT"] == 1
    with store.writer("r") as writer:
        writer.write(b"an earlier try")
    assert count(begin)["COMMIT"] == 2
    assert count(begin)["COMMIT"] == 1


def test_a_group_shares_its_syncs_and_its_transaction(store: Store, count: Count) -> None:
    """A hundred more add no sync, and one statement each."""

    def add(number: int) -> dict[str, int]:
        def work() -> None:
            with store.batch():
                for one in range(number):
                    store.add(b"%d of %d" % (one, number))

        return count(work)

    hundred, more = add(100), add(200)
    for found in (hundred, more):
        assert (found["BEGIN"], found["COMMIT"], found["sync_filesystem"]) == (1, 1, 2)
        assert "sync" not in found
        assert "sync_directory" not in found
    a_checkpoint = 3
    assert more["statements"] - hundred["statements"] <= 100 + a_checkpoint


def test_a_small_group_syncs_each_file(store: Store, count: Count) -> None:
    def work() -> None:
        with store.batch():
            for one in range(3):
                store.add(b"%d" % one)

    found = count(work)
    assert found["sync"] == 3
    assert found["sync_directory"] <= 3
    assert "sync_filesystem" not in found
    assert found["COMMIT"] == 1


def test_a_delete_costs_one_sync_of_the_index_and_one_of_a_directory(
    store: Store, count: Count
) -> None:
    digest = store.add(b"content").digest
    found = count(lambda: store.delete(digest))
    assert (found["COMMIT"], found["sync_directory"]) == (2, 1)
    assert "sync" not in found


def test_deletes_together_cost_two_commits_and_share_their_syncs(
    store: Store, count: Count
) -> None:
    """Of the index once, of the directories in one: a hundred more add no sync."""

    def delete(number: int) -> dict[str, int]:
        digests = [store.add(b"%d of %d" % (one, number)).digest for one in range(number)]
        return count(lambda: store.delete_many(digests))

    for found in (delete(100), delete(200)):
        assert (found["BEGIN"], found["COMMIT"]) == (2, 2)
        assert found["sync_filesystem"] == 1
        assert "sync" not in found
        assert "sync_directory" not in found
    few = delete(3)
    assert few["COMMIT"] == 2
    assert few["sync_directory"] <= 3
    assert "sync_filesystem" not in few


def test_content_stored_without_syncs_is_put_on_disk_before_it_counts(
    root: Path, store: Store, count: Count
) -> None:
    """A durable store promises the same of content that a careless one stored before it."""
    with contentdb.open(root, durability="process") as careless:
        first, second = (careless.add(data).digest for data in (b"first", b"second"))
    once = count(lambda: store.add(b"first"))
    assert (once["sync"], once["sync_directory"], once["sync_data"]) == (1, 1, 1)
    assert "COMMIT" not in once
    assert count(lambda: store.add(b"first")) == {}
    again = count(lambda: store.add(b"", expected=second))
    assert (again["sync"], again["sync_directory"]) == (1, 1)
    assert "COMMIT" not in again
    store.delete(first)
    with contentdb.open(root, durability="process") as careless:
        careless.add(b"first")
    assert count(lambda: store.add(b"first"))["sync"] == 1


def test_a_bound_costs_one_transaction_and_no_sync(store: Store, count: Count) -> None:
    """One reserves, without a sync; the one that records turns that into bytes."""
    store.set_policy(max_bytes=1 << 20)
    store.add(b"the first with a bound")
    found = count(lambda: store.add(b"content"))
    assert {name: found[name] for name in (*found,) if name != "statements"} == {
        "create_unnamed": 1, "sync": 1, "sync_directory": 1, "sync_data": 1,
        "BEGIN": 2, "COMMIT": 2,
    }  # fmt: skip
    digest = store.add(b"content").digest
    assert count(lambda: store.read(digest)) == {"open_file": 1}


def test_a_bound_that_has_ended_costs_two_looks(store: Store, count: Count) -> None:
    """One whether there is a bound, before a byte is taken, and one before the commit."""
    store.set_policy(max_bytes=1 << 20)
    store.clear_policy()
    found = count(lambda: store.add(b"content"))
    assert (found["BEGIN"], found["statements"]) == (1, 3)
