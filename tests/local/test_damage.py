"""A stored blob that is damaged is not stored: the content at hand heals it by any way."""

from __future__ import annotations

import io
import os
import shutil
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import contentdb
from contentdb import CorruptBlobError, Digest, Info, NotFoundError, files
from contentdb.local import damage
from contentdb.local.file_times import BEING_DELETED_NS
from tests.inside import blob_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentdb import Store

FDS = Path("/proc/self/fd")
DATA = b"good content"
DIGEST = Digest.of(DATA)


def rot(store: Store, *, keep_time: bool = False) -> None:
    """Change a byte of the blob's file; decay of a disk moves no time."""
    path = blob_path(store.root, DIGEST)
    before = path.stat()
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.write(b"G")
    path.chmod(0o444)
    if keep_time:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def batch(store: Store) -> None:
    with store.batch():
        store.add(DATA)


def commit(store: Store, **declared: Any) -> None:  # noqa: ANN401 - passed on
    with store.writer("ref", **declared) as writer:
        writer.write(DATA)
        try:
            writer.commit()
        except contentdb.AlreadyExistsError:
            return


def from_path(store: Store, **how: Any) -> None:  # noqa: ANN401 - passed on
    source = store.root.parent / "source"
    source.write_bytes(DATA)
    store.add(source, **how)


WAYS: dict[str, Callable[[Store], object]] = {
    "add": lambda store: store.add(DATA),
    "add expected": lambda store: store.add(DATA, expected=DIGEST),
    "add a stream": lambda store: store.add(io.BytesIO(DATA)),
    "add a path": from_path,
    "hardlink": lambda store: from_path(store, link="hardlink"),
    "move expected": lambda store: from_path(store, link="move", expected=DIGEST),
    "add_many": lambda store: list(store.add_many([b"other", DATA])),
    "add_many expected": lambda store: list(store.add_many([DATA], expected=[DIGEST])),
    "batch": batch,
    "ingest": lambda store: store.ingest("ref", io.BytesIO(DATA)),
    "ingest expected": lambda store: store.ingest("ref", io.BytesIO(DATA), expected=DIGEST),
    "commit": commit,
    "commit expected": lambda store: commit(store, expected=DIGEST),
}


@pytest.mark.parametrize("way", WAYS)
def test_content_at_hand_heals_a_blob_of_the_right_size(store: Store, way: str) -> None:
    old = store.add(DATA, labels={"old": "label"})
    rot(store)
    WAYS[way](store)
    assert store.read(DIGEST) == DATA
    assert store.info(DIGEST) == old
    path = store.path(DIGEST)
    assert (path.stat().st_mtime_ns, path.stat().st_mode & 0o777) == (old.updated_ns, 0o444)
    assert list(store.verify()) == []


@pytest.mark.parametrize("way", ["add", "move expected", "ingest expected"])
def test_labels_set_on_a_damaged_blob_do_not_vouch_for_it(store: Store, way: str) -> None:
    """They move the row's time: the file's must not follow unless it agreed before."""
    store.add(DATA)
    rot(store)
    store.update(DIGEST, {"k": "v"})
    WAYS[way](store)
    assert store.read(DIGEST) == DATA
    assert dict(store.info(DIGEST).labels) == {"k": "v"}


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Digest]:
    """The blobs whose files were read to see whether they are whole."""
    read: list[Digest] = []
    why_damaged = damage.why_damaged

    def noting(shards: Any, digest: Digest) -> str | None:  # noqa: ANN401 - passed on
        read.append(digest)
        return why_damaged(shards, digest)

    monkeypatch.setattr(damage, "why_damaged", noting)
    return read


def test_a_copy_of_a_store_without_its_times_reads_each_blob_once(
    root: Path, tmp_path: Path, reads: list[Digest], monkeypatch: pytest.MonkeyPatch
) -> None:
    with contentdb.open(root) as store:
        store.add(DATA)
    shutil.copytree(root, tmp_path / "copy", copy_function=shutil.copy)
    synced: list[str] = []
    monkeypatch.setattr(files, "sync", lambda _fd, path: synced.append(path))
    with contentdb.open(tmp_path / "copy") as copy:
        for _ in range(3):
            copy.add(DATA)
            copy.add(DATA, expected=DIGEST)
        assert reads == [DIGEST]
        assert synced == [DIGEST]  # it may have been copied just now
        assert copy.path(DIGEST).stat().st_mtime_ns == copy.info(DIGEST).updated_ns


def test_what_one_namespace_vouches_for_no_other_reads(root: Path, reads: list[Digest]) -> None:
    with contentdb.open(root) as one, contentdb.open(root, namespace="other") as other:
        for store in (one, other):
            store.add(DATA)
        for store in (one, other, one):
            store.update(DIGEST, {"k": "v"})
            for again in (one, other):
                again.add(DATA)
        assert reads == []
        rot(one)
        other.add(DATA)
        assert reads == [DIGEST]
        assert one.read(DIGEST) == DATA
        one.add(DATA)
        assert reads == [DIGEST]


def test_a_delete_in_one_namespace_leaves_the_others_file_vouched_for(
    root: Path, reads: list[Digest]
) -> None:
    with contentdb.open(root) as one, contentdb.open(root, namespace="other") as other:
        for store in (one, other):
            store.add(DATA)
        one.update(DIGEST, {"k": "v"})
        one.delete(DIGEST)
        assert not one.exists(DIGEST)
        with pytest.raises(NotFoundError):
            one.info(DIGEST)
        assert other.read(DIGEST) == DATA
        other.add(DATA)
        assert reads == []


@pytest.mark.parametrize("expected", [None, DIGEST])
def test_a_move_reads_what_is_stored_before_the_source_goes(
    store: Store, tmp_path: Path, expected: str | None
) -> None:
    """It may be the last good copy."""
    store.add(DATA)
    rot(store, keep_time=True)
    source = tmp_path / "source"
    source.write_bytes(DATA)
    store.add(source, link="move", expected=expected)
    assert store.read(DIGEST) == DATA
    assert not source.exists()


def test_a_move_onto_a_disk_that_fails_keeps_the_source(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add(DATA)
    source = tmp_path / "source"
    source.write_bytes(DATA)
    monkeypatch.setattr(
        "contentdb.local.commit.add.why_stored_damaged", lambda *_: "it is not what was written"
    )
    with pytest.raises(CorruptBlobError, match="is kept"):
        store.add(source, link="move")
    assert source.read_bytes() == DATA


# -- a delete that was begun -----------------------------------------------------------------------

READS: dict[str, Callable[[Store], object]] = {
    "read": lambda store: store.read(DIGEST),
    "open": lambda store: store.open(DIGEST),
    "path": lambda store: store.path(DIGEST),
    "export": lambda store: store.export(DIGEST, store.root.parent / "exported"),
}


@pytest.fixture
def cut_off(store: Store, second: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store that saw the blob, of which another began a deletion and died."""
    store.add(DATA)
    assert second.info(DIGEST)
    with monkeypatch.context() as patched:
        patched.setattr("contentdb.local.engine.manage.finish_delete", lambda *_: None)
        store.delete(DIGEST)
    assert blob_path(store.root, DIGEST).exists()
    return second


@pytest.mark.parametrize("way", READS)
def test_a_blob_whose_deletion_was_begun_is_served_by_no_way(cut_off: Store, way: str) -> None:
    assert not cut_off.exists(DIGEST)
    before = len(list(FDS.iterdir()))
    with pytest.raises(NotFoundError):
        READS[way](cut_off)
    assert len(list(FDS.iterdir())) == before


@pytest.mark.parametrize("way", WAYS)
def test_what_was_being_deleted_can_be_stored_again(cut_off: Store, way: str) -> None:
    WAYS[way](cut_off)
    info = cut_off.info(DIGEST)
    assert cut_off.read(DIGEST) == DATA
    assert cut_off.path(DIGEST).stat().st_mtime_ns == info.updated_ns
    with contentdb.open(cut_off.root) as third:  # which finishes deletions
        assert third.info(DIGEST) == info


@pytest.mark.parametrize("way", READS)
def test_a_deletion_that_was_not_recorded_leaves_its_blob_served(
    store: Store, second: Store, reads: list[Digest], way: str
) -> None:
    """The file has its time, the row is live: it is read once, and vouched for again."""
    info = store.add(DATA)
    os.utime(store.path(DIGEST), ns=(BEING_DELETED_NS, BEING_DELETED_NS))
    for one in (store, second, store):
        READS[way](one)
    assert reads == [DIGEST]
    assert blob_path(store.root, DIGEST).stat().st_mtime_ns == info.updated_ns


def test_a_damaged_blob_is_not_vouched_for_by_a_deletion_that_failed(store: Store) -> None:
    store.add(DATA)
    rot(store)
    path = blob_path(store.root, DIGEST)
    os.utime(path, ns=(BEING_DELETED_NS, BEING_DELETED_NS))
    store.open(DIGEST).close()
    assert path.stat().st_mtime_ns == BEING_DELETED_NS
    store.add(DATA)
    assert store.read(DIGEST) == DATA


def test_an_orphan_of_a_deletion_is_not_served_and_comes_back_as_of_now(store: Store) -> None:
    """Power was lost after the row had gone and before the file's name had."""
    store.add(DATA)
    path = store.path(DIGEST)
    os.utime(path, ns=(BEING_DELETED_NS, BEING_DELETED_NS))
    with sqlite3.connect(store.root / "index.sqlite") as index:
        index.execute("DELETE FROM blobs")
    index.close()
    with pytest.raises(NotFoundError):
        store.read(DIGEST)
    assert store.reindex().adopted == 1
    info = store.info(DIGEST)
    assert info.created_at.year > 2020
    assert path.stat().st_mtime_ns == info.updated_ns


def test_a_deletion_sets_its_time_before_its_row(store: Store, second: Store) -> None:
    """Else another process would find the tombstone and a file that is served."""
    store.add(DATA)
    seen: list[tuple[int, bool]] = []
    path = store.path(DIGEST)

    class Time:
        def find(self) -> int | None:
            return None

        def set(self, moment_ns: int) -> None:
            seen.append((moment_ns, second.exists(DIGEST)))

    with store.parts() as parts:
        assert parts.index.entomb(DIGEST, Time())
    assert seen == [(BEING_DELETED_NS, True)]
    assert path.exists()


def test_a_blob_that_was_stored_again_is_of_this_moment(cut_off: Store) -> None:
    before = cut_off.add(b"before")
    info = cut_off.add(DATA)
    assert isinstance(info, Info)
    assert info.new
    assert info.created_ns > before.created_ns
