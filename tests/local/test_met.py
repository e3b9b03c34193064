"""What an answer that content is stored writes, so that no collector takes it: rule W4."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

import contentdb
from contentdb.digest import Digest
from contentdb.errors import NoSpaceError
from contentdb.local.index import grace
from contentdb.local.index.index import Index
from tests.inside import parts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from contentdb import Store

DIGEST = Digest.of(b"content")
OLD = 7


@pytest.fixture(params=[0, 1000], ids=["loose", "packed"])
def store(root: Path, request: pytest.FixtureRequest) -> Iterator[Store]:
    """A store in which somebody collects, with a blob that is due; this process knows nothing."""
    with contentdb.open(root, pack_below=request.param) as first:
        first.add(b"content")
        parts_of(first).sharing.announce(parts_of(first).top, collects=True)
    age(root)
    with contentdb.open(root) as store:
        yield store


def age(root: Path, review_ns: int | None = OLD) -> None:
    with contextlib.closing(sqlite3.connect(root / "index.sqlite")) as db:
        db.execute("UPDATE blobs SET review_at = ?", (review_ns,))
        db.commit()


def review(store: Store) -> int:
    row = parts_of(store).index.blob(DIGEST)
    assert row is not None
    return row.review_ns or 0


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was written and synced: `meet` and `sync` of the index, in their order."""
    done: list[str] = []
    for name in ("meet", "sync"):
        original = getattr(Index, name)

        def noting(*arguments: Any, name: str = name, original: Any = original) -> Any:  # noqa: ANN401 - of any shape
            done.append(name)
            return original(*arguments)

        monkeypatch.setattr(Index, name, noting)
    return done


ANSWERS: dict[str, Callable[[Store], object]] = {
    "add": lambda store: store.add(b"content"),
    "add expected": lambda store: store.add(b"content", expected=DIGEST),
    "add many": lambda store: list(store.add_many([b"content"])),
    "batch": lambda store: _in_batch(store),  # noqa: PLW0108 - it is below
    "writer": lambda store: _refused(store),  # noqa: PLW0108 - as above
}


def _in_batch(store: Store) -> None:
    with store.batch():
        store.add(b"content")


def _refused(store: Store) -> None:
    with pytest.raises(contentdb.AlreadyExistsError):
        store.writer("r", expected=DIGEST)


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_makes_a_due_blob_fresh_and_syncs_that(
    store: Store, written: list[str], answer: str
) -> None:
    ANSWERS[answer](store)
    assert review(store) > OLD
    assert "sync" in written[written.index("meet") :]


@pytest.mark.parametrize("answer", ANSWERS)
def test_the_next_answers_of_the_process_write_nothing(
    store: Store, written: list[str], answer: str
) -> None:
    store.add(b"content")
    written.clear()
    ANSWERS[answer](store)
    assert store.exists(DIGEST)
    assert written == []


MANY = [b"known %d" % number for number in range(50)]


@pytest.fixture
def many(store: Store) -> None:
    """Fifty blobs more, which another process has stored and which are due."""
    with contentdb.open(store.root) as other:
        list(other.add_many(MANY))
    age(store.root)


@pytest.mark.usefixtures("many")
def test_one_sync_puts_row_and_answer_on_disk(store: Store, written: list[str]) -> None:
    """Of each blob alone: its row, which another process wrote, and that it is fresh."""
    for data in MANY:
        store.add(data)
    assert written == ["meet", "sync"] * 50


def _many_in_batch(store: Store) -> None:
    with store.batch():
        for data in MANY:
            store.add(data)


GROUPS: dict[str, Callable[[Store], object]] = {
    "add many": lambda store: list(store.add_many(MANY)),
    "batch": _many_in_batch,
}


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("collects", [True, False])
@pytest.mark.usefixtures("many")
def test_a_group_syncs_its_answers_together(
    store: Store,
    written: list[str],
    group: str,
    collects: bool,  # noqa: FBT001 - a parameter of the test
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`add_many` begins with small groups, so that its first answers come soon."""
    if not collects:
        monkeypatch.setattr("contentdb.local.met._is_due", lambda *_: False)
    GROUPS[group](store)
    assert written.count("sync") == {"add many": 3, "batch": 1}[group]


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.usefixtures("many")
def test_a_group_whose_sync_fails_says_of_nothing_that_it_is_stored(
    store: Store, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not of what was stored before either: its row may be lost with the power."""

    def fail(_index: Index) -> None:
        raise contentdb.DurabilityError("sync", "log", OSError(5, "Input/output error"))

    monkeypatch.setattr(Index, "sync", fail)
    with pytest.raises(contentdb.DurabilityError):
        GROUPS[group](store)


def test_what_this_process_has_stored_is_known_to_be_fresh(
    store: Store, written: list[str]
) -> None:
    digest = store.add(b"new").digest
    written.clear()
    store.add(b"new")
    assert store.exists(digest)
    assert written == []


def test_the_memory_of_a_process_does_not_last(
    store: Store, written: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks at the row again, which is fresh; and writes it where it is not any more."""
    store.add(b"content")
    monkeypatch.setattr(grace, "SEEN_NS", 0)
    written.clear()
    store.add(b"content")
    assert written == ["sync"]  # the row may be another process's, and not on disk
    age(store.root)
    store.add(b"content")
    assert written == ["sync", "meet", "sync"]


def test_an_answer_that_a_clock_set_back_does_not_lengthen(
    store: Store, written: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add(b"content")
    written.clear()
    monkeypatch.setattr("contentdb.local.index.grace.time.time_ns", lambda: 10**18)
    store.add(b"content")
    assert "sync" in written


def test_exists_writes_without_a_sync(store: Store, written: list[str]) -> None:
    """It asks, and nobody waits for its row; an add after it puts that on disk."""
    assert store.exists(DIGEST)
    assert store.exists(DIGEST)
    assert written == ["meet"]
    assert review(store) > OLD
    store.add(b"content")
    assert written[1:] == ["sync"] * len(written[1:]) != []


def test_many_answers_share_a_sync(root: Path, store: Store, written: list[str]) -> None:
    contents = [b"%d" % number for number in range(100)]
    list(store.add_many(contents))
    age(root)
    store.close()
    with contentdb.open(root) as again:
        written.clear()
        list(again.add_many(contents))
    assert written.count("meet") == 100


def test_where_nobody_collects_nothing_is_written(root: Path, written: list[str]) -> None:
    with contentdb.open(root) as store:
        store.add(b"content")
    age(root, None)
    with contentdb.open(root) as store:
        for answer in ANSWERS.values():
            answer(store)
        assert store.exists(DIGEST)
        assert review(store) == 0
    assert "meet" not in written


def test_a_store_that_is_only_read_is_not_written(store: Store, written: list[str]) -> None:
    with contentdb.open(store.root, mode="r") as reading:
        assert reading.exists(DIGEST)
    assert written == []


def test_what_is_gone_by_then_is_stored_anew(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A collector may have taken it between the look at it and the transaction."""
    meet = Index.meet

    def take_first(self: Index, *arguments: Any) -> bool:  # noqa: ANN401 - as above
        monkeypatch.setattr(Index, "meet", meet)
        store.delete(DIGEST)
        return meet(self, *arguments)

    monkeypatch.setattr(Index, "meet", take_first)
    assert store.add(b"content").new
    assert store.read(DIGEST) == b"content"


# -- a full disk -----------------------------------------------------------------------------------


@pytest.fixture
def full(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    def refuse(*_arguments: object) -> bool:
        raise NoSpaceError("write", "the index", OSError(28, "No space left on device"))

    monkeypatch.setattr(Index, "meet", refuse)
    return store


def test_a_fresh_blob_is_answered_for_on_a_full_disk(full: Store) -> None:
    """It stays for what is left of its grace, which this answer could not lengthen."""
    age(full.root, 2**62)
    assert not full.add(b"content").new
    age(full.root, grace.review().below_ns - grace.GRACE_NS // 2)
    assert not full.add(b"content").new


def test_a_due_blob_is_not_answered_for_on_a_full_disk(full: Store) -> None:
    """A collector could take it at once."""
    with pytest.raises(NoSpaceError):
        full.add(b"content")
    age(full.root, None)
    with pytest.raises(NoSpaceError):
        full.add(b"content")
    assert full.exists(DIGEST)
    assert full.read(DIGEST) == b"content"


def test_a_lease_needs_room(full: Store) -> None:
    """Or it would not have what it is told it has."""
    age(full.root, 2**62)
    with full.lease() as lease, pytest.raises(NoSpaceError):
        lease.keep(DIGEST)


def test_the_reserve_makes_room(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk has a megabyte for deletes, and for this."""
    meet = Index.meet

    def refuse_once(*_arguments: object) -> bool:
        monkeypatch.setattr(Index, "meet", meet)
        raise NoSpaceError("write", "the index", OSError(28, "No space left on device"))

    monkeypatch.setattr(Index, "meet", refuse_once)
    assert not store.add(b"content").new
    assert review(store) > OLD
