"""Adds of a block share the cost of their rows."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest

import contentdb
from contentdb.cluster import add_many as module
from contentdb.cluster.add import place
from contentdb.cluster.catalog.record import record
from contentdb.digest import Digest
from contentdb.errors import AlreadyExistsError

if TYPE_CHECKING:
    from pathlib import Path

LARGE = b"an object" * 1000


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many contents each statement has recorded."""
    counts: list[int] = []

    def counted(*given: Any, **named: Any) -> Any:  # noqa: ANN401 - of any commit
        counts.append(len(given[3]))
        return record(*given, **named)

    monkeypatch.setattr(module, "record", counted)
    return counts


def test_rows_of_a_block_come_by_one_statement(store: contentdb.Store, records: list[int]) -> None:
    with store.batch():
        infos = [store.add(b"%d" % number, labels={"k": "v"}) for number in range(50)]
        infos.append(store.add(LARGE, labels={"k": "v"}))
        assert records == []
        assert not store.exists(infos[0].digest)
    assert records == [51]
    assert all(info.new for info in infos)
    assert {info.digest for info in store.walk("labels.k==v")} == {info.digest for info in infos}
    there = store.info(infos[0].digest)
    assert there.labels == infos[0].labels
    assert infos[0].created_at <= there.created_at
    assert list(store.verify()) == []


def test_a_large_block_is_written_in_groups(
    store: contentdb.Store, records: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contentdb.cluster.batch.GROUP_COUNT", 20)
    with store.batch():
        for number in range(50):
            store.add(b"%d" % number)
    assert records == [20, 20, 10]
    assert store.usage().blobs == 50


def test_what_is_stored_already_closes_no_group(
    store: contentdb.Store, records: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bytes are not kept until the end of the block, so they do not count."""
    monkeypatch.setattr(module, "_GROUP_BYTES", 3 * len(LARGE))
    store.add(LARGE)
    with store.batch():
        for _ in range(5):
            store.add(LARGE)
        for number in range(5):
            store.add(b"%d" % number)
    assert records == [5]


def test_content_twice(store: contentdb.Store) -> None:
    """Exactly one is new; the labels of both are there in the end."""
    with store.batch():
        assert store.add(LARGE, labels={"a": "1"}).new
        again = store.add(LARGE, labels={"b": "2"})
        assert (again.new, dict(again.labels)) == (False, {"a": "1", "b": "2"})
        with store.writer("r") as writer:
            writer.write(LARGE)
            assert not writer.commit().new
        with store.writer("r") as writer, pytest.raises(AlreadyExistsError):  # noqa: PT012
            writer.write(LARGE)
            writer.commit(exist_ok=False)
        assert not store.ingest("s", io.BytesIO(LARGE)).new
        assert not store.add(LARGE).new
    assert dict(store.info(again.digest).labels) == {"a": "1", "b": "2"}
    assert list(store.statuses()) == []


def test_content_that_was_stored_before(store: contentdb.Store, records: list[int]) -> None:
    """Its labels are set at once."""
    digest = store.add(LARGE).digest
    with store.batch():
        assert not store.add(LARGE, labels={"k": "v"}).new
        assert not store.add(io.BytesIO(b""), expected=digest).new  # and is not read
        assert dict(store.info(digest).labels) == {"k": "v"}
    assert records == []


def test_an_error_ends_the_block_and_keeps_what_was_added(store: contentdb.Store) -> None:
    with pytest.raises(KeyError), store.batch(), store.batch():  # noqa: PT012
        store.add(b"before the error")
        raise KeyError
    assert store.read(Digest.of(b"before the error")) == b"before the error"
    store.add(b"after")  # by itself
    assert store.exists(Digest.of(b"after"))


def test_a_source_that_fails_is_told_at_once(store: contentdb.Store, records: list[int]) -> None:
    with store.batch():
        store.add(b"one")
        with pytest.raises(contentdb.DigestMismatchError):
            store.add(b"two", expected=Digest.of(b"three"))
        store.add(b"four")
    assert records == [2]
    assert store.usage().blobs == 2


@pytest.mark.parametrize("stored_before", [True, False])
def test_labels_that_fail_are_told_at_once(store: contentdb.Store, *, stored_before: bool) -> None:
    """And not again at the end, which stores the rest."""
    first, more = ({f"{name}{one}": "v" * 4000 for one in range(200)} for name in "ab")
    if stored_before:
        store.add(LARGE, labels=first)
    with store.batch():
        if not stored_before:
            store.add(LARGE, labels=first)
        with pytest.raises(contentdb.InvalidLabelError):
            store.add(LARGE, labels=more)
        store.add(b"the rest")
    assert store.info(Digest.of(LARGE)).labels == first
    assert store.exists(Digest.of(b"the rest"))


def test_an_add_that_raised_is_not_done_at_the_end(
    store: contentdb.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_given: Any, **_named: Any) -> Any:  # noqa: ANN401 - never
        raise KeyboardInterrupt

    with store.batch():
        with monkeypatch.context() as patch:
            patch.setattr("contentdb.cluster.batch.label_stored", fail)
            with pytest.raises(KeyboardInterrupt):
                store.add(LARGE)
        store.add(b"the rest")
    assert [info.digest for info in store.walk()] == [Digest.of(b"the rest")]


def test_what_cannot_be_stored_is_the_end_s_error(
    store: contentdb.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are stored."""

    def fail(resources: Any, content: Any) -> Any:  # noqa: ANN401 - of one content
        if content.size > 5000:
            raise contentdb.StorageError("write", "somewhere", OSError(5, "no"))
        return place(resources, content)

    monkeypatch.setattr(module, "place", fail)
    with pytest.raises(contentdb.StorageError), store.batch():  # noqa: PT012
        store.add(b"one")
        store.add(LARGE)
    assert [info.digest for info in store.walk()] == [Digest.of(b"one")]


def test_a_moved_file_goes_when_its_blob_is_durable(store: contentdb.Store, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(LARGE)
    with store.batch():
        digest = store.add(file, link="move").digest
        assert not file.exists()
        assert store.exists(digest)


def test_a_lease_keeps_what_a_block_adds(store: contentdb.Store, records: list[int]) -> None:
    """New content, and what was stored before."""
    before = store.add(b"stored before").digest
    with store.lease() as lease:
        with lease.batch():
            added = [lease.add(b"%d" % number).digest for number in range(3)]
            lease.add(b"stored before")
        assert records == [3]
        assert {item.name for item in lease.items()} == {before, *added}
