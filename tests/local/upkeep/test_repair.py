"""Upkeep that meets a commit between its name and its row takes nothing from it."""

from __future__ import annotations

import io
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

import contentdb
from contentdb import Digest, Finding, Info
from contentdb.local.index.index import Index
from tests.inside import blob_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from contentdb import Store

LABELS = {"gc": "keep"}
DATA = b"content"
DIGEST = Digest.of(DATA)


def add_many(store: Store, _place: Path) -> Info:
    infos = list(store.add_many([b"first", DATA], labels=LABELS))
    assert isinstance(infos[1], Info)
    return infos[1]


def batch(store: Store, _place: Path) -> Info:
    with store.batch():
        return store.add(DATA, labels=LABELS)


def commit(store: Store, _place: Path) -> Info:
    with store.writer("ref") as writer:
        writer.write(DATA)
        return writer.commit(labels=LABELS)


def hardlink(store: Store, place: Path) -> Info:
    (place / "source").write_bytes(DATA)
    return store.add(place / "source", labels=LABELS, link="hardlink")


WAYS: dict[str, Callable[[Store, Path], Info]] = {
    "add": lambda store, _place: store.add(DATA, labels=LABELS),
    "add_many": add_many,
    "batch": batch,
    "commit": commit,
    "ingest": lambda store, _place: store.ingest("ref", io.BytesIO(DATA), labels=LABELS),
    "hardlink": hardlink,
}


def meet(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> list[str]:
    """Act once while a file has its name and its row is about to be recorded."""
    record = Index.record
    met: list[str] = []

    def act_first(self: Index, entries: Any) -> Any:  # noqa: ANN401 - passed through
        if not met and DIGEST in {entry.digest for entry in entries}:
            met.append("met")
            act()
        return record(self, entries)

    monkeypatch.setattr(Index, "record", act_first)
    return met


def adopt(store: Store) -> None:
    path = str(blob_path(store.root, DIGEST))
    (done,) = contentdb.repair(store, [Finding("orphan", DIGEST, path, "it seems one")])
    assert done.action == "adopted"
    assert store.info(DIGEST).labels == {}


def check_its_own(store: Store, second: Store, info: Info) -> None:
    """The commit got its labels and its times, and was told that it was new."""
    assert dict(info.labels) == LABELS
    assert info.created_ns == info.updated_ns
    assert store.info(DIGEST) == second.info(DIGEST) == info
    assert [found for found in store.walk() if found.digest == DIGEST] == [info]


@pytest.mark.parametrize("way", WAYS)
def test_a_commit_gets_its_labels_times_and_answer_where_its_file_was_adopted(
    store: Store, second: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """6.7: upkeep that adopts the file takes nothing from the commit."""
    met = meet(monkeypatch, lambda: adopt(second))
    info = WAYS[way](store, tmp_path)
    assert met
    check_its_own(store, second, info)
    assert not list(store.statuses())


@pytest.mark.parametrize("way", WAYS)
def test_a_reindex_takes_no_more(
    store: Store, second: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(
        "contentdb.local.upkeep.doubts.GRACE_S", 0
    )  # as for a commit that takes longer

    def reindex() -> None:
        assert second.reindex().adopted > 0

    met = meet(monkeypatch, reindex)
    info = WAYS[way](store, tmp_path)
    assert met
    check_its_own(store, second, info)


def test_two_commits_of_one_content_have_one_that_is_new(
    store: Store, second: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The adopted file is that of the first: the other finds it stored, whoever records first."""

    def adopt_and_add() -> None:
        adopt(second)
        assert not second.add(DATA, labels={"by": "the second"}).new

    meet(monkeypatch, adopt_and_add)
    assert store.add(DATA, labels=LABELS).new


def test_labels_set_on_an_adopted_row_meanwhile_stay(
    store: Store, second: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def adopt_and_label() -> None:
        adopt(second)
        second.update(DIGEST, {"seen": "yes"})

    meet(monkeypatch, adopt_and_label)
    store.add(DATA, labels=LABELS)
    for one in (store, second):
        assert dict(one.info(DIGEST).labels) == {"gc": "keep", "seen": "yes"}


def test_an_adoption_in_another_namespace_is_no_ones_answer(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contentdb.open(root, namespace="a") as store, contentdb.open(root) as other:
        meet(monkeypatch, lambda: adopt(other))
        info = store.add(DATA, labels=LABELS)
        assert info.new
        assert store.info(DIGEST) == info
        assert other.info(DIGEST).labels == {}


def test_what_another_namespace_has_recorded_meanwhile_is_not_adopted(root: Path) -> None:
    """Else its content would be listed where it was never stored."""
    with contentdb.open(root, namespace="a") as store, contentdb.open(root) as other:
        stale = Finding("orphan", DIGEST, str(blob_path(root, DIGEST)), "it was one")
        store.add(DATA)
        (done,) = contentdb.repair(other, [stale])
        assert done.action == "left alone"
        assert not other.exists(DIGEST)


def test_a_heal_that_upkeep_records_first_is_a_heal(
    store: Store, second: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = store.add(DATA, labels={"old": "label"})
    store.path(DIGEST).unlink()
    contentdb.repair(store, store.verify())  # the row is marked
    meet(monkeypatch, lambda: adopt_marked(second))
    with store.writer("ref") as writer:
        writer.write(DATA)
        info = writer.commit(labels=LABELS)
    assert dict(info.labels) == {"old": "label", "gc": "keep"}
    assert info.created_ns == old.created_ns
    assert store.info(DIGEST) == second.info(DIGEST) == info


def adopt_marked(store: Store) -> None:
    path = str(blob_path(store.root, DIGEST))
    (done,) = contentdb.repair(store, [Finding("orphan", DIGEST, path, "it is whole")])
    assert done.action == "adopted"


@pytest.mark.parametrize("moment_ns", [1, 10**18 + 1, 10**18])
def test_an_orphan_comes_back_with_the_time_of_its_file(store: Store, moment_ns: int) -> None:
    path = blob_path(store.root, DIGEST)
    path.write_bytes(DATA)
    os.utime(path, ns=(moment_ns, moment_ns))
    adopt(store)
    assert abs(store.info(DIGEST).created_ns - moment_ns) <= 2
    assert store.add(DATA) == store.info(DIGEST)


def test_an_orphan_of_the_future_is_of_now(store: Store) -> None:
    """Its time is no stamp: no file was changed before it was stamped."""
    path = blob_path(store.root, DIGEST)
    path.write_bytes(DATA)
    ahead_ns = time.time_ns() + 10**15
    os.utime(path, ns=(ahead_ns, ahead_ns))
    adopt(store)
    assert store.info(DIGEST).created_ns < ahead_ns
