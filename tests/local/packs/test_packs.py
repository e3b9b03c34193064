"""Packed stores: what is on disk when, what comes back after a power cut, and what moves."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest

import contentdb
from contentdb import files
from contentdb.local.packs.record import STATE_AT, content_at
from tests.inside import blob_path, parts_of
from tests.stress.planting import plant_socket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from contentdb.local.index import Location

BELOW = 32 << 10


@pytest.fixture
def store(root: Path) -> Iterator[contentdb.Store]:
    """A fresh store that packs."""
    with contentdb.open(root, pack_below=BELOW) as store:
        yield store


def location_of(store: contentdb.Store, digest: str) -> Location:
    row = parts_of(store).index.blob(contentdb.Digest(digest))
    assert row is not None
    assert row.location is not None
    return row.location


def packs_of(root: Path) -> list[Path]:
    return sorted((root / "packs").glob("*.pack"))


def lose_power(root: Path, to: Path) -> Path:
    """Copy a store as a power cut may leave it: without all that its index's log holds."""
    lost = shutil.ignore_patterns("index.sqlite-wal", "index.sqlite-shm")
    return shutil.copytree(root, to, ignore=lost)


def lose_index(root: Path) -> None:
    for path in root.glob("index.sqlite*"):
        path.unlink()


# -- what is acknowledged ------------------------------------------------------------------------


def test_one_sync_makes_a_blob_durable(
    store: contentdb.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add(b"the first makes the pack")
    synced: list[str] = []
    for name in ("sync", "sync_data", "sync_directory"):
        whole = getattr(files, name)

        def note(*args: object, whole: object = whole) -> None:
            synced.append(str(args[-1]))
            whole(*args)  # type: ignore[operator]

        monkeypatch.setattr(files, name, note)
    store.add(b"content")
    assert len(synced) == 1
    assert synced[0].endswith(".pack")
    synced.clear()
    list(store.add_many(b"%d" % number for number in range(100)))
    assert len(synced) <= 4, "the first group has one source, the next ones more"
    synced.clear()
    with store.writer("ref") as writer:
        writer.write(b"by a writer")
        writer.commit()
    assert len(synced) == 1


def test_what_was_acknowledged_outlives_the_log(
    store: contentdb.Store, root: Path, tmp_path: Path
) -> None:
    """6.1: rows are made again from records, with labels, in their namespaces, by any way in."""
    by_add = store.add(b"add", labels={"k": "v"})
    (by_many,) = store.add_many([b"many"])
    with store.batch():
        by_batch = store.add(b"batch")
    with store.writer("ref") as writer:
        writer.write(b"writer")
        by_writer = writer.commit(labels={"a": "b"})
    with contentdb.open(root, namespace="other") as other:
        by_other = other.add(b"other")
        cut = lose_power(root, tmp_path / "cut")
    with contentdb.open(cut) as again:
        assert list(again.walk()) == sorted(
            (by_add, by_many, by_batch, by_writer), key=lambda info: info.digest
        )
        assert again.read(by_add.digest) == b"add"
        assert list(again.statuses()) == []
        assert list(again.verify()) == []
    with contentdb.open(cut, namespace="other") as other:
        assert list(other.walk()) == [by_other]


def test_the_log_tells_how_many_rows_were_made_again(
    store: contentdb.Store,
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("contentdb.local.packs.replay._GROUP_ROWS", 2)
    list(store.add_many(b"%d" % number for number in range(6)))
    cut = lose_power(root, tmp_path / "cut")
    caplog.set_level(logging.INFO, "contentdb.local.packs")
    with contentdb.open(cut) as again:
        assert len(list(again.walk())) == 6
    assert [line.facts["rows"] for line in caplog.records if hasattr(line, "facts")] == ["6"]


def test_an_ingest_that_was_committed_does_not_come_back(
    store: contentdb.Store, root: Path, tmp_path: Path
) -> None:
    """Its row may be on disk, and the row's end not."""
    with store.writer("ref") as writer:
        writer.write(b"half")
    with store.writer("ref", resume=True) as writer:  # a taken over row is on disk
        shutil.copyfile(root / "index.sqlite-wal", tmp_path / "wal")
        writer.write(b" and half")
        info = writer.commit()
    cut = lose_power(root, tmp_path / "cut")
    shutil.copyfile(tmp_path / "wal", cut / "index.sqlite-wal")
    with contentdb.open(cut) as again:
        assert [one.digest for one in again.walk()] == [info.digest]
        assert list(again.statuses()) == []


def test_labels_that_were_kept_stay_kept(
    store: contentdb.Store, root: Path, tmp_path: Path
) -> None:
    store.add(b"content", labels={"k": "old"})
    store.add(b"content", labels={"k": "new"}, keep_labels=True)
    with contentdb.open(lose_power(root, tmp_path / "cut")) as again:
        (info,) = again.walk()
        assert info.labels == {"k": "old"}


def test_what_was_deleted_stays_deleted(store: contentdb.Store, root: Path, tmp_path: Path) -> None:
    gone, kept = store.add(b"gone"), store.add(b"kept")
    store.delete(gone.digest)
    copy = shutil.copytree(root, tmp_path / "copy")
    with contentdb.open(copy) as again:
        assert [info.digest for info in again.walk()] == [kept.digest]
    lose_index(copy)
    contentdb.reindex(copy)
    with contentdb.open(copy) as again:
        assert [info.digest for info in again.walk()] == [kept.digest]


def test_a_damaged_record_hides_none_behind_it(
    store: contentdb.Store, root: Path, tmp_path: Path
) -> None:
    contents = [b"first " * 500, b"damaged " * 500, b"behind " * 500]
    first, damaged, behind = store.add_many(contents)
    at = location_of(store, damaged.digest).offset
    for place, name in ((content_at("sha256:") + 9, "content"), (3, "head")):
        cut = lose_power(root, tmp_path / name)
        (pack,) = packs_of(cut)
        with pack.open("r+b") as file:
            file.seek(at + place)
            file.write(b"X")
        lose_index(cut)
        assert contentdb.reindex(cut) == (0, 2, 0, 0)
        with contentdb.open(cut) as again:
            assert {info.digest for info in again.walk()} == {first.digest, behind.digest}
            later = again.add(b"later")
            assert again.read(behind.digest) == contents[2]
            assert again.read(later.digest) == b"later"


def test_what_was_torn_does_not_come_back_in_pieces(
    store: contentdb.Store, root: Path, tmp_path: Path
) -> None:
    """A later scan must not take what a torn record leaves behind a shorter one for a record."""
    kept = store.add(b"kept")
    torn = store.add(b"torn " * 2000)
    at = location_of(store, torn.digest).offset
    cut = lose_power(root, tmp_path / "cut")
    (pack,) = packs_of(cut)
    with pack.open("r+b") as file:
        file.seek(at)
        file.write(bytes(200))
    with contentdb.open(cut) as again:
        assert [info.digest for info in again.walk()] == [kept.digest]
        again.add(b"short")
        assert pack.read_bytes()[at + 200 :].strip(b"\0") == b""


def test_a_killed_call_leaves_at_most_its_own_content(root: Path) -> None:
    contentdb.open(root, pack_below=BELOW).close()
    child = os.fork()
    if child == 0:
        store = contentdb.open(root)
        parts_of(store).index.record_packed = lambda *_: os._exit(0)  # type: ignore[method-assign]
        store.add(b"killed")
        os._exit(1)
    os.waitpid(child, 0)
    with contentdb.open(root) as store:
        assert store.read(contentdb.Digest.of(b"killed")) == b"killed"
        assert list(store.verify()) == []


# -- failures ------------------------------------------------------------------------------------


def test_a_pack_whose_sync_failed_is_not_appended_to(
    store: contentdb.Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add(b"before")
    (failed,) = packs_of(root)

    def fail(_fd: int, path: str) -> None:
        raise contentdb.DurabilityError("sync", path, OSError(5, "Input/output error"))

    with monkeypatch.context() as broken:
        broken.setattr(files, "sync_data", fail)
        with pytest.raises(contentdb.DurabilityError):
            store.add(b"failed")
    size = failed.stat().st_size
    info = store.add(b"after")
    assert location_of(store, info.digest).pack != int(failed.stem)
    assert failed.stat().st_size == size
    assert not store.exists(contentdb.Digest.of(b"failed"))
    store.close()
    with contentdb.open(root) as again:
        assert not again.exists(contentdb.Digest.of(b"failed"))
        assert again.read(info.digest) == b"after"


def test_a_call_that_the_index_refused_leaves_nothing(
    store: contentdb.Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add(b"before")
    index = parts_of(store).index

    def refuse(*_: object) -> None:
        raise contentdb.NoSpaceError("write", "index", OSError(28, "No space left on device"))

    with monkeypatch.context() as broken:
        broken.setattr(type(index), "record_packed", refuse)
        with pytest.raises(contentdb.NoSpaceError):
            store.add(b"refused")
    store.add(b"after")
    store.close()
    with contentdb.open(root) as again:
        assert not again.exists(contentdb.Digest.of(b"refused"))
        assert again.exists(contentdb.Digest.of(b"before"))
        assert again.exists(contentdb.Digest.of(b"after"))


def test_an_exception_in_the_wrong_place_loses_nothing(
    store: contentdb.Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a signal handler, after the record was synced."""
    index = parts_of(store).index

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(type(index), "record_packed", interrupt)
        with pytest.raises(KeyboardInterrupt):
            store.add(b"interrupted")
    infos = [store.add(b"%d" % number) for number in range(3)]
    assert store.add(b"interrupted").size == len(b"interrupted")
    assert all(store.read(info.digest) for info in infos)
    store.close()
    with contentdb.open(root) as again:
        assert len(list(again.walk())) == 4
        assert list(again.verify()) == []


def test_what_a_signal_handler_kept_from_its_turn_is_not_done_later(
    store: contentdb.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """6.6: the exception came as soon as the call had queued."""

    class Interrupted(deque[Any]):
        def append(self, job: object) -> None:
            super().append(job)
            raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        queue = Interrupted()
        broken.setattr(parts_of(store).appender, "_queue", queue)
        with pytest.raises(KeyboardInterrupt):
            store.add(b"interrupted")
    monkeypatch.setattr(parts_of(store).appender, "_queue", deque(queue))
    store.add(b"the next")
    assert not store.exists(contentdb.Digest.of(b"interrupted"))


def test_a_call_that_is_cut_off_while_another_thread_runs_it_has_its_end_first(
    store: contentdb.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """6.6: done or not done, and not done later."""
    mine, theirs = contentdb.Digest.of(b"mine"), threading.Event()
    store.add(b"the first makes the pack")
    appender: Any = parts_of(store).appender
    sync, main = files.sync_data, threading.main_thread().ident
    assert main is not None

    def slow(fd: int, path: str) -> None:
        if path.endswith(".pack") and threading.current_thread() is other:
            if not theirs.is_set():
                theirs.set()
                while appender._queue[-1].packings[0].candidate.digest != mine:
                    time.sleep(0.001)
            else:
                signal.pthread_kill(main, signal.SIGUSR1)
                time.sleep(0.2)
        sync(fd, path)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    other = threading.Thread(target=store.add, args=(b"theirs",))
    monkeypatch.setattr(files, "sync_data", slow)
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        other.start()
        theirs.wait()
        with pytest.raises(KeyboardInterrupt):
            store.add(b"mine")
        there = store.exists(mine)
    finally:
        other.join()
        signal.signal(signal.SIGUSR1, before)
    assert store.exists(mine) == there


def test_one_blob_with_too_many_labels_fails_alone(store: contentdb.Store) -> None:
    store.add(b"a", labels={f"k{n}": "v" * 4000 for n in range(150)})
    more = {f"l{n}": "v" * 4000 for n in range(150)}
    with pytest.raises(contentdb.InvalidLabelError):
        store.add(b"a", labels=more)
    assert len(store.info(contentdb.Digest.of(b"a")).labels) == 150


# -- moves ---------------------------------------------------------------------------------------


def test_pack_and_unpack_move_all_and_lose_nothing(store: contentdb.Store, root: Path) -> None:
    contents = [b"content %d" % number for number in range(20)] + [b"", b"L" * BELOW]
    infos = [store.add(data, labels={"k": "v"}) for data in contents]
    assert store.unpack(dry_run=True) == 21
    assert store.unpack() == 21
    for info in infos:
        assert blob_path(root, contentdb.Digest(info.digest)).stat().st_size == info.size
    assert list(store.verify()) == []
    assert store.unpack() == 0
    assert store.pack(dry_run=True) == 21
    assert store.pack() == 21
    assert len(list((root / "blobs").glob("*/*/*"))) == 1
    for data, info in zip(contents, infos, strict=True):
        assert store.read(info.digest) == data
        assert store.info(info.digest).labels == {"k": "v"}
    assert list(store.verify()) == []


def test_repack_takes_back_the_room_of_what_was_deleted(store: contentdb.Store, root: Path) -> None:
    infos = [store.add(b"content %d " % number * 200) for number in range(40)]
    (old,) = packs_of(root)
    with store.open(infos[39].digest) as reader:
        store.delete_many(info.digest for info in infos[:30])
        told: list[object] = []
        dead = store.repack(progress=told.append)
        assert dead > 30 * 2000
        assert len(told) == 1
        assert not old.exists()
        assert reader.read() == b"content 39 " * 200
    assert [store.read(info.digest)[:7] for info in infos[30:]] == [b"content"] * 10
    assert list(store.verify()) == []
    assert store.repack() == 0, "nothing is dead"


def test_repack_leaves_the_pack_of_a_living_process(root: Path) -> None:
    with (
        contentdb.open(root, pack_below=BELOW) as store,
        contentdb.open(root) as living,
    ):
        info = living.add(b"deleted")
        store.delete(info.digest)
        assert store.repack() == 0
        living.add(b"goes on")
    with contentdb.open(root) as store:
        assert store.repack() > 0


def test_a_path_is_made_once_and_goes_with_its_blob(store: contentdb.Store, root: Path) -> None:
    info = store.add(b"content")
    path = store.path(info.digest)
    assert path.read_bytes() == b"content"
    assert path.stat().st_mode & 0o777 == 0o444
    inode = path.stat().st_ino
    assert store.path(info.digest).stat().st_ino == inode
    store.update(info.digest, {"k": "v"})
    assert store.path(info.digest).stat().st_ino == inode
    assert list(store.verify()) == []
    store.delete(info.digest)
    assert not path.exists()
    with pytest.raises(contentdb.NotFoundError):
        store.path(info.digest)


def test_a_damaged_file_of_a_packed_blob_takes_nothing_away(
    store: contentdb.Store, root: Path
) -> None:
    info = store.add(b"content")
    path = store.path(info.digest)
    path.chmod(0o644)
    path.write_bytes(b"spoiled")
    path.chmod(0o444)
    (finding,) = store.verify()
    assert finding.kind == "corrupt"
    contentdb.repair(store, [finding])
    assert store.read(info.digest) == b"content"
    assert store.path(info.digest).read_bytes() == b"content"
    assert list(store.verify()) == []


def test_a_damaged_file_of_a_packed_blob_hides_nothing(store: contentdb.Store) -> None:
    """Its record is whole: all answers say that it is stored, as `walk` and `read` do."""
    info = store.add(b"content")
    path = store.path(info.digest)
    path.chmod(0o644)
    path.write_bytes(b"of another size")
    path.chmod(0o444)
    assert store.exists(info.digest)
    assert store.info(info.digest) == info
    assert store.read(info.digest) == b"content"


@pytest.mark.parametrize("instead", ["a link", "a directory", "a pipe", "a socket"])
def test_what_is_no_pack_costs_no_more_than_the_blobs_in_it(
    root: Path, store: contentdb.Store, instead: str
) -> None:
    """The store opens, tells, and is mended, with and without its index."""
    with contentdb.open(root) as beside:
        lost = beside.add(b"lost")
        kept = store.add(b"kept")
    path = root / "packs" / f"{location_of(store, lost.digest).pack}.pack"
    store.close()
    path.unlink()
    made: dict[str, Callable[[], object]] = {
        "a link": lambda: path.symlink_to("/etc/hostname"),
        "a directory": path.mkdir,
        "a pipe": lambda: os.mkfifo(path),
        "a socket": lambda: plant_socket(path),
    }
    made[instead]()
    with contentdb.open(root) as again:
        assert [finding.digest for finding in again.verify()] == [lost.digest]
        with pytest.raises(contentdb.CorruptBlobError):
            again.read(lost.digest)
        assert again.repack() == 0
        again.add(b"lost")
        assert again.read(lost.digest) == b"lost"
        assert again.read(kept.digest) == b"kept"
    lose_index(root)
    contentdb.reindex(root)
    with contentdb.open(root) as again:
        assert {info.digest for info in again.walk()} == {lost.digest, kept.digest}


@pytest.mark.parametrize("read", [contentdb.Store.read, contentdb.Store.path])
def test_who_finds_a_damaged_record_is_told_what_is_wrong_with_it(
    store: contentdb.Store, root: Path, read: Callable[[contentdb.Store, str], object]
) -> None:
    """Not that a file is gone which the blob never had; nor later, when the row only says that."""
    info = store.add(b"content")
    at = location_of(store, info.digest)
    pack = root / "packs" / f"{at.pack}.pack"
    with pack.open("r+b") as file:
        file.seek(at.offset + content_at("sha256:"))
        file.write(b"X")
    with pytest.raises(contentdb.CorruptBlobError) as found:
        read(store, info.digest)
    assert found.value.reason == "its bytes do not match its digest"
    assert found.value.path.startswith(str(pack))
    with pytest.raises(contentdb.CorruptBlobError) as later:
        read(store, info.digest)
    assert later.value.reason == "it was found damaged"


# -- a store and its packs -----------------------------------------------------------------------


def test_pack_below_is_the_stores(root: Path, store: contentdb.Store) -> None:
    contentdb.open(root).close()
    contentdb.open(root, pack_below=BELOW).close()
    with pytest.raises(contentdb.StoreError, match="pack_below=32768"):
        contentdb.open(root, pack_below=0)
    with pytest.raises(contentdb.InvalidArgumentError):
        contentdb.open(root, pack_below=-1)
    inside = store.add(b"x" * (BELOW - 1))
    outside = store.add(b"x" * BELOW)
    assert not blob_path(root, contentdb.Digest(inside.digest)).exists()
    assert blob_path(root, contentdb.Digest(outside.digest)).exists()


def test_a_loose_store_refuses_to_pack(root: Path) -> None:
    with contentdb.open(root) as store:
        for act in (store.pack, store.unpack, store.repack):
            with pytest.raises(contentdb.FailedPreconditionError, match="pack-below"):
                act()


def test_a_store_without_its_packs_is_refused(root: Path, store: contentdb.Store) -> None:
    store.add(b"content")
    store.close()
    shutil.rmtree(root / "packs")
    with pytest.raises(contentdb.StoreError, match="packs"):
        contentdb.open(root)


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_a_lost_index_is_made_again_from_records_alone(
    root: Path, store: contentdb.Store, algorithm: str
) -> None:
    data = b"content"
    digest = contentdb.Digest.of(data, algorithm)
    store.add(data, expected=digest, labels={"k": "v"})
    store.close()
    lose_index(root)
    assert contentdb.reindex(root, dry_run=True).adopted == 1
    assert contentdb.reindex(root) == (0, 1, 0, 0)
    with contentdb.open(root, pack_below=BELOW) as again:
        assert again.read(digest) == data
        assert again.info(digest).labels == {"k": "v"}
        assert list(again.verify()) == []


def test_a_reader_only_reads(root: Path, store: contentdb.Store) -> None:
    info = store.add(b"content")
    with contentdb.open(root, mode="r") as reading:
        assert reading.read(info.digest) == b"content"
        with reading.open(info.digest) as reader:
            assert reader.read() == b"content"
        with pytest.raises(contentdb.StoreReadOnlyError):
            reading.path(info.digest)
        store.path(info.digest)
        assert reading.path(info.digest).read_bytes() == b"content"


def test_another_namespace_gets_a_record_of_its_own(root: Path) -> None:
    with (
        contentdb.open(root, pack_below=BELOW) as store,
        contentdb.open(root, namespace="other", sharing="shared") as other,
    ):
        info = store.add(b"content")
        assert not other.exists(info.digest)
        other.add(b"content", expected=info.digest)
        assert location_of(other, info.digest) != location_of(store, info.digest)
        at = location_of(store, info.digest)
        store.delete(info.digest)
        assert other.read(info.digest) == b"content"
        pack = root / "packs" / f"{at.pack}.pack"
        assert pack.read_bytes()[at.offset + STATE_AT : at.offset + STATE_AT + 1] == b"D"
    lose_index(root)
    contentdb.reindex(root)
    with contentdb.open(root) as store, contentdb.open(root, namespace="other") as other:
        assert not store.exists(info.digest)
        assert other.read(info.digest) == b"content"


def test_a_forked_child_has_a_pack_of_its_own(root: Path, store: contentdb.Store) -> None:
    store.add(b"before")
    child = os.fork()
    if child == 0:
        for number in range(20):
            store.add(b"child %d" % number)
        os._exit(0)
    for number in range(20):
        store.add(b"parent %d" % number)
    assert os.waitpid(child, 0)[1] == 0
    assert len(packs_of(root)) == 2
    assert len(list(store.walk())) == 41
    assert list(store.verify()) == []


def test_threads_share_a_pack(root: Path, store: contentdb.Store) -> None:
    def add(first: int) -> None:
        for number in range(first, first + 25):
            store.add(b"%d" % number)

    threads = [threading.Thread(target=add, args=(100 * number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(store.walk())) == 200
    assert len(packs_of(root)) == 1
    assert list(store.verify()) == []


def test_an_older_index_finds_what_a_repack_has_moved_since(
    store: contentdb.Store, root: Path
) -> None:
    """docs/operations.md: a backup's index is put in place, and `reindex` run."""
    kept = [store.add(b"kept %d" % number, labels={"k": "v"}) for number in range(3)]
    dead = [store.add(b"dead %d" % number) for number in range(3)]
    store.close()
    older = (root / "index.sqlite").read_bytes()
    with contentdb.open(root) as again:
        again.delete_many(info.digest for info in dead)
        assert again.repack() > 0
    for path in root.glob("index.sqlite-*"):
        path.unlink()
    (root / "index.sqlite").write_bytes(older)
    contentdb.reindex(root)
    with contentdb.open(root) as again:
        again.repack()
        assert list(again.walk()) == sorted(kept, key=lambda info: info.digest)
        assert all(again.read(info.digest) for info in kept)


def test_a_claim_of_damaged_content_is_no_claim(root: Path) -> None:
    with (
        contentdb.open(root, pack_below=BELOW) as store,
        contentdb.open(root, namespace="other", sharing="shared") as other,
    ):
        info = store.add(b"content")
        at = location_of(store, info.digest)
        with (root / "packs" / f"{at.pack}.pack").open("r+b") as file:
            file.seek(at.offset + content_at("sha256:"))
            file.write(b"X")
        with other.writer("ref", expected=info.digest, resume=True) as writer:
            assert writer.offset == 0
            writer.write(b"content")
            writer.commit()
        assert other.read(info.digest) == b"content"


def test_a_failed_group_leaves_no_record(
    store: contentdb.Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add(b"before")
    index = parts_of(store).index

    def refuse(*_: object) -> None:
        raise contentdb.IndexBusyError("index", "busy")

    with monkeypatch.context() as broken:
        broken.setattr(type(index), "record_packed", refuse)
        with pytest.raises(contentdb.IndexBusyError), store.batch():  # noqa: PT012 - its end raises
            for number in range(3):
                store.add(b"%d" % number)
    store.add(b"after")
    assert len(packs_of(root)) == 1
    store.close()
    lose_index(root)
    assert contentdb.reindex(root).adopted == 2


def test_a_reader_does_not_keep_a_writer_from_recording(
    store: contentdb.Store, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = store.add(b"acknowledged")
    cut = lose_power(root, tmp_path / "cut")
    read_at = files.read_at
    opened: list[bool] = []

    def open_beside(fd: int, size: int, offset: int, path: str) -> bytes:
        if str(path).endswith(".pack") and not opened:
            opened.append(True)
            with contentdb.open(cut) as writing:
                assert writing.read(info.digest) == b"acknowledged"
        return read_at(fd, size, offset, path)

    monkeypatch.setattr(files, "read_at", open_beside)
    with contentdb.open(cut, mode="r") as reading:
        assert reading.read(info.digest) == b"acknowledged"
    assert opened


def test_a_reader_refuses_a_store_whose_rows_are_lost(
    store: contentdb.Store, root: Path, tmp_path: Path
) -> None:
    info = store.add(b"acknowledged")
    cut = lose_power(root, tmp_path / "cut")
    with pytest.raises(contentdb.StoreError, match="for writing"):
        contentdb.open(cut, mode="r")
    contentdb.open(cut).close()
    with contentdb.open(cut, mode="r") as reading:
        assert reading.read(info.digest) == b"acknowledged"


def test_a_loose_blob_without_its_file_cannot_be_claimed(root: Path) -> None:
    data = b"L" * BELOW
    with (
        contentdb.open(root, pack_below=BELOW) as store,
        contentdb.open(root, namespace="other", sharing="shared") as other,
    ):
        info = store.add(data)
        blob_path(root, contentdb.Digest(info.digest)).unlink()
        with other.writer("ref", expected=info.digest, resume=True) as writer:
            assert writer.offset == 0, "nothing can be spared"
            writer.write(data)
            writer.commit()
        assert other.read(info.digest) == data


def test_labels_that_may_not_be_on_disk_are_no_success(
    store: contentdb.Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row was another call's: only the index has the labels of both in their order."""
    with contentdb.open(root) as other:
        other.add(b"content")
    index = parts_of(store).index
    find = index.blob
    hidden = [contentdb.Digest.of(b"content")]

    def not_yet(digest: contentdb.Digest) -> object:
        return hidden.pop() and None if hidden else find(digest)

    def fail(_index: object) -> None:
        raise contentdb.DurabilityError("sync", "log", OSError(5, "Input/output error"))

    with monkeypatch.context() as broken:
        broken.setattr(index, "blob", not_yet)
        broken.setattr(type(index), "sync", fail)
        with pytest.raises(contentdb.CommitUnknownError):
            store.add(b"content", labels={"k": "v"})


def test_no_content_is_read_under_the_lock(
    store: contentdb.Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """6.4: neither to put a damaged record away, nor to make a file in place of a damaged one."""
    spoiled, whole = store.add(b"spoiled"), store.add(b"whole")
    at = location_of(store, spoiled.digest)
    with (root / "packs" / f"{at.pack}.pack").open("r+b") as file:
        file.seek(at.offset + content_at("sha256:"))
        file.write(b"X")
    copy = store.path(whole.digest)
    copy.chmod(0o644)
    copy.write_bytes(b"x")
    database = parts_of(store).index._database
    write, read_at, read, unlink = database.write, files.read_at, files.read, files.unlink
    inside: list[bool] = []

    def watch(*args: object, **options: object) -> object:
        inside.append(True)
        try:
            return write(*args, **options)  # type: ignore[arg-type]
        finally:
            inside.pop()

    def outside(act: Callable[..., object]) -> Callable[..., object]:
        def run(*args: object) -> object:
            assert not inside, act
            return act(*args)

        return run

    monkeypatch.setattr(database, "write", watch)
    for name, act in (("read_at", read_at), ("read", read), ("unlink", unlink)):
        monkeypatch.setattr(files, name, outside(act))
    with pytest.raises(contentdb.CorruptBlobError):
        store.read(spoiled.digest)
    assert store.path(whole.digest).read_bytes() == b"whole"
