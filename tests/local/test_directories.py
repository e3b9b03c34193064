"""Empty directories that a tool has taken away are made again by the next write, or opening."""

from __future__ import annotations

import io
import os
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import contentdb
from contentdb import CorruptBlobError, Digest, NotFoundError, files
from contentdb.local.layout import DIRECTORIES, SHARDS
from contentdb.local.upkeep.doctor import examine
from tests.inside import blob_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentdb import Store

NEW = [b"new %d" % number for number in range(40)]


def drop_empty(root: Path) -> None:
    """Remove directories as a copy by rclone, git or an rsync -m leaves them out."""
    for folder, _, _ in os.walk(root, topdown=False):
        if folder != str(root) and not os.listdir(folder):  # noqa: PTH208 - as it came
            Path(folder).rmdir()


def is_whole(root: Path) -> bool:
    return has_shards(root) and all((root / name).is_dir() for name in DIRECTORIES)


def has_shards(root: Path) -> bool:
    return {path.name for path in (root / "blobs" / "sha256").iterdir()} == set(SHARDS)


def directories_check(root: Path) -> tuple[str, str]:
    (found,) = (check for check in examine(root) if check.name == "directories")
    return found.verdict, found.detail


@pytest.fixture
def copied(root: Path) -> Path:
    """A store with three blobs and no empty directory."""
    with contentdb.open(root) as store:
        for number in range(3):
            store.add(b"%d" % number)
    drop_empty(root)
    assert not is_whole(root)
    return root


def test_a_copy_without_empty_directories_works(copied: Path) -> None:
    """7.3: a copy that lacks the empty directories can be written to."""
    with contentdb.open(copied) as store:
        assert is_whole(copied)
        for data in NEW:
            store.add(data)
        assert list(store.verify()) == []
        assert len(list(store.walk())) == 3 + len(NEW)


def test_doctor_tells_what_is_missing(copied: Path, tmp_path: Path) -> None:
    verdict, detail = directories_check(copied)
    assert verdict == "warn"
    assert "no ingest/, no trash/, no quarantine/" in detail
    assert "253 of 256 shards missing in blobs/sha256/" in detail
    contentdb.open(copied).close()
    assert directories_check(copied) == ("ok", "all there")
    assert directories_check(tmp_path / "none") == ("ok", "no store yet")


def test_an_empty_copy_is_an_empty_store(root: Path) -> None:
    contentdb.open(root).close()
    drop_empty(root)
    assert not (root / "blobs").exists()
    with contentdb.open(root, create=False) as store:
        assert list(store.walk()) == []
        assert store.read(store.add(b"content").digest) == b"content"


def test_blobs_that_the_index_has_are_not_an_empty_directory(root: Path, tmp_path: Path) -> None:
    """It may be a mount that is not there: nothing is made in its place."""
    with contentdb.open(root, namespace="other") as store:
        digest = store.add(b"content").digest
    (root / "blobs").rename(tmp_path / "blobs")
    for namespace in ("default", "other"):
        with pytest.raises(contentdb.StoreError, match=r"blobs/ is missing.*put it back"):
            contentdb.open(root, namespace=namespace)
    assert not (root / "blobs").exists()
    (tmp_path / "blobs").rename(root / "blobs")
    with contentdb.open(root, namespace="other") as store:
        assert store.read(digest) == b"content"


def test_what_is_made_again_is_on_disk_before_it_is_used(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync_directory, make_directory = files.sync_directory, files.make_directory

    def sync(directory: files.Directory) -> None:
        sync_directory(directory)
        done.append(f"sync {Path(directory.path).name}")

    def make(within: files.Directory, name: str) -> bool:
        done.append(f"make in {Path(within.path).name}")
        return make_directory(within, name)

    monkeypatch.setattr(files, "sync_directory", sync)
    monkeypatch.setattr(files, "make_directory", make)
    contentdb.open(copied).close()
    assert [step for step, before in zip(done, ["", *done], strict=False) if step != before] == [
        "make in store", "sync store", "make in sha256", "sync sha256",
    ]  # fmt: skip


# -- under an open store ---------------------------------------------------------------------------


def committed(store: Store) -> None:
    with store.writer("ref") as writer:
        writer.write(b"content")
        writer.commit()


def batch(store: Store) -> None:
    with store.batch():
        store.add(b"content")


def from_path(store: Store) -> None:
    source = store.root.parent / "source"
    source.write_bytes(b"content")
    store.add(source, link="move")


WRITES: dict[str, Callable[[Store], object]] = {
    "add": lambda store: store.add(b"content"),
    "add a stream": lambda store: store.add(io.BytesIO(b"content")),
    "move": from_path,
    "add_many": lambda store: list(map(raised, store.add_many([b"content", *NEW]))),
    "batch": batch,
    "commit": committed,
    "ingest": lambda store: store.ingest("ref", io.BytesIO(b"content")),
}


def raised(answer: object) -> None:
    if isinstance(answer, Exception):
        raise answer


@pytest.mark.parametrize("unnamed", [True, False], ids=["O_TMPFILE", "named"])
@pytest.mark.parametrize("way", WRITES)
def test_the_next_write_makes_them_again(
    store: Store,
    second: Store,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
    *,
    unnamed: bool,
) -> None:
    if not unnamed:
        monkeypatch.setattr(files, "_UNNAMED", 0)
    for one in (store, second):
        one.add(b"before")  # so that both have opened all that they open
        one.delete(Digest.of(b"before"))
    drop_empty(root)
    WRITES[way](store)
    digest = Digest.of(b"content")
    for one in (store, second):
        assert one.exists(digest)
        assert one.read(digest) == b"content"
        assert one.path(digest).exists()
    assert list(store.statuses()) == []
    second.delete(digest)
    assert not store.exists(digest)
    assert not blob_path(root, digest).exists()
    with pytest.raises(NotFoundError):
        store.read(digest)


def test_a_delete_makes_the_trash_again(store: Store, root: Path) -> None:
    """Else the row would go, and the file stay."""
    digest = store.add(b"content").digest
    drop_empty(root)
    store.delete(digest)
    assert not blob_path(root, digest).exists()
    assert list(store.verify()) == []


def test_damage_makes_the_quarantine_again(store: Store, root: Path) -> None:
    digest = store.add(b"content").digest
    path = store.path(digest)
    path.chmod(0o644)
    path.write_bytes(b"CONTENT")
    drop_empty(root)
    with pytest.raises(CorruptBlobError):
        store.read(digest)
    assert [kept.read_bytes() for kept in (root / "quarantine").iterdir()] == [b"CONTENT"]


def test_healing_makes_the_trash_again(store: Store, root: Path) -> None:
    digest = store.add(b"content").digest
    path = store.path(digest)
    path.chmod(0o644)
    path.write_bytes(b"CONTENT")
    drop_empty(root)
    store.add(b"content")
    assert store.read(digest) == b"content"


def test_a_store_whose_directories_another_made_again_blames_no_row(
    store: Store, second: Store, root: Path
) -> None:
    """What it has open is gone: the files are in other directories of the same names."""
    for one in (store, second):
        one.add(b"before")
        one.delete(Digest.of(b"before"))
    drop_empty(root)
    digests = [store.add(data).digest for data in NEW]
    assert list(second.verify()) == []
    assert second.reindex().kept == len(NEW)
    assert [second.read(digest) for digest in digests] == NEW
    assert len(list(second.walk())) == len(NEW)


def test_upkeep_beside_missing_directories(store: Store, root: Path) -> None:
    store.add(b"content")
    drop_empty(root)
    assert list(store.verify()) == []
    assert store.prune(older_than=0) == []
    assert store.reindex() == contentdb.Reindexed(1, 0, 0, 0)
    assert contentdb.reindex(root) == contentdb.Reindexed(1, 0, 0, 0)
    assert is_whole(root)


def test_a_lost_shard_is_a_lost_blob(store: Store, root: Path) -> None:
    digest = store.add(b"content").digest
    shutil.rmtree(blob_path(root, digest).parent)
    assert [finding.kind for finding in store.verify()] == ["missing"]
    with pytest.raises(CorruptBlobError, match="gone"):
        store.read(digest)
    store.add(b"content")
    assert store.read(digest) == b"content"


def test_threads_make_them_again_together(root: Path) -> None:
    with contentdb.open(root) as store:
        store.delete(store.add(b"before").digest)
        drop_empty(root)
        together = threading.Barrier(4, timeout=30)
        failed: list[BaseException] = []

        def work(number: int) -> None:
            together.wait()
            try:
                for data in NEW[number::4]:
                    store.add(data)
            except BaseException as error:  # noqa: BLE001 - looked at below
                failed.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert [store.read(Digest.of(data)) for data in NEW] == NEW
    assert has_shards(root)


def test_a_rebuild_sees_a_store_whose_trash_was_removed(store: Store, root: Path) -> None:
    """The lock that says that it is in use went with the directory."""
    store.add(b"content")
    (root / "trash").rmdir()
    (root / "index.sqlite").rename(root / "index.sqlite.away")
    with pytest.raises(contentdb.StoreError, match="in use"):
        contentdb.reindex(root)
    (root / "index.sqlite.away").rename(root / "index.sqlite")
