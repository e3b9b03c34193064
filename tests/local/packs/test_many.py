"""Many small sources at once: what is stored already is found by one look at the index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import contentdb
from contentdb import files
from tests.inside import parts_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BELOW = 32 << 10


@pytest.fixture
def store(root: Path) -> Iterator[contentdb.Store]:
    with contentdb.open(root, pack_below=BELOW) as store:
        yield store


def test_each_source_is_told_whether_it_was_new(store: contentdb.Store) -> None:
    store.add(b"known")
    sources = [b"new", b"known", b"new", bytes(BELOW), b"known", b"other", bytes(BELOW)]
    answers = list(store.add_many(sources))
    assert [info.new for info in answers] == [
        True, False, False, True, False, True, False,
    ]  # fmt: skip
    assert [info.digest for info in answers] == [contentdb.Digest.of(source) for source in sources]
    assert len(list(store.walk())) == 4


def test_stored_content_gets_the_labels_of_its_sources(store: contentdb.Store) -> None:
    store.add(b"known", labels={"a": "1"})
    labels = [{"b": "2"}, {"c": "3"}, {"d": "4"}]
    known, again, new = store.add_many([b"known", b"known", b"new"], labels=labels)
    assert again.labels == store.info(known.digest).labels == {"a": "1", "b": "2", "c": "3"}
    assert new.labels == {"d": "4"}


def test_one_statement_looks_for_all(
    store: contentdb.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    index = parts_of(store).index
    which, one = index.which_have_rows, index.blob

    def count(digests: list[contentdb.Digest]) -> set[str]:
        asked.append(len(digests))
        return which(digests)

    def refuse(digest: contentdb.Digest) -> None:
        raise AssertionError(f"{digest} was asked for alone")

    monkeypatch.setattr(type(index), "which_have_rows", lambda _self, digests: count(digests))
    monkeypatch.setattr(type(index), "blob", lambda _self, digest: refuse(digest))
    list(store.add_many(b"%d" % number for number in range(100)))
    monkeypatch.setattr(type(index), "blob", lambda _self, digest: one(digest))
    assert sum(asked) == 100
    assert len(asked) < 8


def test_a_damaged_blob_is_healed(root: Path, store: contentdb.Store) -> None:
    digest = store.add(b"known").digest
    (pack,) = (root / "packs").glob("*.pack")
    data = pack.read_bytes()
    pack.write_bytes(data.replace(b"known", b"knowm"))
    with pytest.raises(contentdb.CorruptBlobError):
        store.read(digest)
    (info,) = store.add_many([b"known"])
    assert store.read(info.digest) == b"known"


def test_no_answer_rests_on_a_row_that_is_not_on_disk(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contentdb.open(root, pack_below=BELOW) as store:
        store.add(b"known")
    with contentdb.open(root) as store:

        def fail(_fd: int, path: object) -> None:
            raise contentdb.DurabilityError("sync", str(path), OSError(5, "it failed"))

        monkeypatch.setattr(files, "sync_data", fail)
        answers = list(store.add_many([b"known"], errors="yield"))
        assert [type(answer) for answer in answers] == [contentdb.DurabilityError]
