"""The index's log is synced outside the lock: who may rely on what, and what of failed syncs."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

import contentdb
from contentdb import files
from contentdb.errors import CommitUnknownError, DurabilityError
from contentdb.local.index import wal
from contentdb.local.index.connect import connect
from tests.inside import parts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Disk:
    """Watches the syncs of the log; can hold them up, or let them fail."""

    def __init__(self) -> None:
        self.syncs = 0
        self.failing = False
        self.free = threading.Event()
        self.free.set()
        self.waiting = threading.Semaphore(0)
        self._sync = files.sync_data

    def sync(self, fd: int, path: str) -> None:
        self.waiting.release()
        self.free.wait(30)
        self.syncs += 1
        if self.failing:
            raise DurabilityError("sync", path, OSError(errno.EIO, "Input/output error"))
        self._sync(fd, path)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(files, "sync_data", disk.sync)
    return disk


@pytest.fixture
def pair(root: Path, disk: Disk) -> Iterator[tuple[contentdb.Store, contentdb.Store]]:
    """Two stores, as of two processes, whose connections are open."""
    with contentdb.open(root) as one, contentdb.open(root) as other:
        one.add(b"of one")
        other.add(b"of the other")
        disk.syncs = 0
        yield one, other


def _between_commit_and_sync(disk: Disk, call: Callable[[], object]) -> threading.Thread:
    while disk.waiting.acquire(blocking=False):
        pass
    disk.free.clear()
    thread = threading.Thread(target=call)
    thread.start()
    assert disk.waiting.acquire(timeout=30)
    return thread


@pytest.mark.parametrize("again", ["add", "add_many", "writer", "batch"])
def test_stored_content_is_on_disk_before_another_says_so(
    pair: tuple[contentdb.Store, contentdb.Store], disk: Disk, again: str
) -> None:
    one, other = pair
    digest = contentdb.Digest.of(b"content")
    thread = _between_commit_and_sync(disk, lambda: one.add(b"content"))
    assert other.exists(digest)  # it is committed, and not on disk
    disk.free.set()
    before = disk.syncs
    if again == "add":
        assert not other.add(b"content").new
    elif again == "add_many":
        list(other.add_many([b"content"]))
    elif again == "batch":
        with other.batch():
            other.add(b"content")
    else:
        with pytest.raises(contentdb.AlreadyExistsError):
            other.writer("r", expected=digest)
    assert disk.syncs > before
    thread.join()
    before = disk.syncs
    other.add(b"content")
    assert disk.syncs == before  # this process remembers


def test_a_log_that_has_not_changed_is_not_synced_again(
    pair: tuple[contentdb.Store, contentdb.Store], disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = pair
    for number in range(20):
        one.add(b"%d" % number)
    monkeypatch.setattr(wal, "_TICKS_NS", -(10**12))  # as if some time had passed
    disk.syncs = 0
    for number in range(20):
        other.add(b"%d" % number)
    assert disk.syncs == 1
    one.add(b"one more")
    other.add(b"one more")
    assert disk.syncs == 3


def test_a_change_within_a_tick_of_the_clock_is_seen(
    pair: tuple[contentdb.Store, contentdb.Store], disk: Disk
) -> None:
    """Two changes may get one time: a log is known to be unchanged only if it is older."""
    one, other = pair
    for number in range(50):
        one.add(b"%d" % number)
        disk.syncs = 0
        other.add(b"%d" % number)
        assert disk.syncs == 1


def test_threads_share_a_sync(root: Path, disk: Disk) -> None:
    with contentdb.open(root) as store, ThreadPoolExecutor(8) as threads:
        store.add(b"the first")
        first = _between_commit_and_sync(disk, lambda: store.add(b"another"))
        waiting = [threads.submit(store.add, b"%d" % number) for number in range(8)]
        while parts_of(store).index._database._log.committed < 3:
            pass
        disk.syncs = 0
        disk.free.set()
        first.join()
        assert all(each.result().new for each in waiting)
        assert disk.syncs <= 5


def test_a_failed_sync_is_told_and_mended_by_the_next_write(
    pair: tuple[contentdb.Store, contentdb.Store], disk: Disk, root: Path
) -> None:
    one, other = pair
    disk.failing = True
    with pytest.raises(CommitUnknownError, match="a power cut may undo it"):
        one.add(b"content")
    assert (root / "index.sqlite-wal-hole").exists()
    with pytest.raises(contentdb.IndexFailedError, match="cannot be put on disk"):
        one.add(b"more")
    assert one.usage().blobs == 3
    with pytest.raises(contentdb.IndexFailedError):
        one.add(b"content")
    disk.failing = False
    assert not one.add(b"content").new
    assert one.add(b"more").new
    assert not (root / "index.sqlite-wal-hole").exists()
    assert other.read(contentdb.Digest.of(b"more")) == b"more"
    assert list(other.verify()) == []


def test_another_process_mends_what_the_first_could_not(root: Path, disk: Disk) -> None:
    """The system tells a failed sync once: whoever opens the log later hears nothing."""
    keeper = contentdb.open(root)
    keeper.exists(contentdb.Digest.of(b"nothing"))
    keeper.usage()
    one = contentdb.open(root)
    disk.failing = True
    with pytest.raises(CommitUnknownError):
        one.add(b"content")
    one.close()
    with contentdb.open(root) as other:
        with pytest.raises(contentdb.IndexFailedError):
            other.add(b"more")
        disk.failing = False
        disk.syncs = 0
        other.add(b"more")
        assert disk.syncs == 2  # of the old log, and of the commit
    assert not (root / "index.sqlite-wal-hole").exists()
    keeper.close()


def test_threads_behind_a_failed_sync_are_told_too(root: Path, disk: Disk) -> None:
    with contentdb.open(root) as store, ThreadPoolExecutor(4) as threads:
        store.add(b"the first")
        _between_commit_and_sync(disk, lambda: threads.submit(store.add, b"another"))
        waiting = [threads.submit(store.add, b"%d" % number) for number in range(3)]
        while parts_of(store).index._database._log.committed < 3:
            pass
        disk.failing = True
        disk.free.set()
        errors = [each.exception() for each in waiting]
        assert all(isinstance(error, contentdb.ContentDBError) for error in errors)


def test_a_delete_is_on_disk_before_another_process_ends_it(
    pair: tuple[contentdb.Store, contentdb.Store], disk: Disk, root: Path
) -> None:
    one, _ = pair
    digest = one.add(b"content").digest
    thread = _between_commit_and_sync(disk, lambda: one.delete(digest))
    threading.Timer(0.2, disk.free.set).start()
    before = disk.syncs
    contentdb.open(root).close()  # ends the delete
    assert disk.syncs > before
    thread.join()


def test_a_lowered_offset_is_on_disk_before_bytes_are_replaced(
    root: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that was killed just after it had lowered the offset has not synced that."""
    with contentdb.open(root) as store:
        with store.writer("r") as writer:
            writer.write(b"x" * 100)
        index = parts_of(store).index
        row = index.ingest("r")
        assert row is not None
        index.pause("r", row.token, 0, row.updated_ns, durable=False)
        truncated: list[int] = []
        truncate = files.truncate

        def cut(fd: int, size: int, path: str) -> None:
            truncated.append(disk.syncs)
            truncate(fd, size, path)

        monkeypatch.setattr(files, "truncate", cut)
        disk.syncs = 0
        store.writer("r").close()
        assert truncated == [1]


def test_the_log_is_lengthened_by_zeros_once_it_has_grown(root: Path) -> None:
    log = root / "index.sqlite-wal"
    with contentdb.open(root) as store:
        for number in range(40):
            store.add(b"%d" % number)
        assert log.stat().st_size < 2 << 20
        for number in range(40, 60):
            store.add(b"%d" % number)
        size = log.stat().st_size
        assert size >= 4 << 20
        for number in range(60, 120):
            store.add(b"%d" % number)
        assert log.stat().st_size == size
        with contentdb.open(root) as other:
            assert other.usage().blobs == 120
    with contentdb.open(root) as store:
        assert store.usage().blobs == 120
        assert list(store.verify()) == []


def test_a_process_that_has_not_written_looks_for_the_mark(root: Path, disk: Disk) -> None:
    keeper = contentdb.open(root)
    with contentdb.open(root) as one:
        disk.failing = True
        with pytest.raises(CommitUnknownError):
            one.add(b"content")
    for again in range(2):
        with contentdb.open(root) as other:
            disk.failing = not again
            if again:
                assert not other.add(b"content").new
            else:
                with pytest.raises(contentdb.IndexFailedError):
                    other.writer("r", expected=contentdb.Digest.of(b"content"))
    assert not (root / "index.sqlite-wal-hole").exists()
    keeper.close()


def test_a_log_whose_bytes_are_lost_is_not_taken_for_mended(root: Path, disk: Disk) -> None:
    """Some filesystems drop the pages that they could not write."""
    log = root / "index.sqlite-wal"
    with contentdb.open(root) as store:
        store.add(b"the first")
        size = log.stat().st_size
        disk.failing = True
        with pytest.raises(CommitUnknownError):
            store.add(b"content")
        disk.failing = False
        with log.open("r+b") as file:
            file.seek(size)
            file.write(bytes(log.stat().st_size - size))
        with pytest.raises(contentdb.IndexDamagedError):
            store.add(b"more")


class HandlerError(Exception):
    """A signal handler's."""


@contextlib.contextmanager
def _cutting_syncs_off() -> Iterator[None]:
    """Expect the block to be cut off in its sync of the log."""

    def fail(fd: int, path: str) -> None:
        raise HandlerError

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(files, "sync_data", fail)
        with pytest.raises(HandlerError):
            yield


def test_an_exception_in_the_place_of_a_failed_sync_is_followed_by_a_mend(
    root: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contentdb.open(root) as store:
        store.add(b"the first")
        with _cutting_syncs_off():
            store.add(b"content")
        written: list[int] = []
        write_at = files.write_at

        def note(fd: int, data: bytes, offset: int, path: str) -> int:
            written.append(offset)
            return write_at(fd, data, offset, path)

        monkeypatch.setattr(files, "write_at", note)
        disk.syncs = 0
        assert not store.add(b"content").new
        assert written[0] == 0
        assert store.add(b"more").new


def test_a_sync_that_was_cut_off_is_mended_although_another_thread_has_the_turn(
    root: Path, disk: Disk
) -> None:
    held, free = threading.Event(), threading.Event()
    with contentdb.open(root) as store:
        store.add(b"the first")
        log = parts_of(store).index._database._log
        with _cutting_syncs_off():
            store.add(b"content")

        def hold() -> None:
            with log.turn:
                held.set()
                free.wait(30)

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait(30)
        threading.Timer(0.2, free.set).start()
        disk.syncs = 0
        assert store.add(b"more").new
        assert disk.syncs == 1  # the mend's, which serves this commit too
        thread.join()


def test_a_log_is_known_to_be_unchanged_only_if_each_later_write_changes_its_time(
    pair: tuple[contentdb.Store, contentdb.Store], root: Path
) -> None:
    log = parts_of(pair[0]).index._database._log
    place = root / "index.sqlite-wal"

    def remembers(age_ns: int, *, whole: bool) -> bool:
        moment = time.time_ns() - age_ns
        moment -= moment % 10**9 if whole else 0
        os.utime(place, ns=(moment, moment))
        log._unchanged = None
        assert log.sync_all()
        return log._unchanged is not None

    assert remembers(10**9 // 10 + 1, whole=False)
    assert not remembers(1, whole=False)
    assert not remembers(10**9, whole=True)  # the filesystem may keep whole seconds
    assert remembers(3 * 10**9, whole=True)
    lock = files.open_directory(str(root))
    assert files.lock(lock.fd, lock.path)  # as while a process writes
    assert not remembers(3 * 10**9, whole=True)
    lock.close()


@pytest.mark.parametrize("put_another", [False, True])
def test_a_root_that_was_moved_is_noticed_by_a_process_that_only_read(
    root: Path, disk: Disk, *, put_another: bool
) -> None:
    with contentdb.open(root) as one, contentdb.open(root) as other:
        digest = one.add(b"content").digest
        assert other.info(digest).size == 7
        root.rename(root.with_name("moved"))
        if put_another:
            contentdb.open(root).close()
        with pytest.raises((contentdb.StoreError, contentdb.StorageError)):
            other.add(b"content")


def test_a_handler_that_writes_during_a_sync_is_refused(
    pair: tuple[contentdb.Store, contentdb.Store], disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would wait for a thread that waits for this one."""
    one, other = pair
    one.add(b"content")
    told: list[BaseException] = []

    def handle(fd: int, path: str) -> None:
        try:
            other.add(b"new")
        except contentdb.ContentDBError as error:
            told.append(error)
        disk.sync(fd, path)

    monkeypatch.setattr(files, "sync_data", handle)
    other.add(b"content")
    assert [type(error) for error in told] == [contentdb.ReentrantCallError]


def test_bytes_that_another_stored_without_a_sync_meanwhile_are_synced(
    root: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look for stored content and the link; the row vouches for its file then."""
    synced: list[int] = []
    sync, link = files.sync, files.link_unnamed
    with contentdb.open(root, durability="process") as careless, contentdb.open(root) as store:
        store.add(b"the first")

        def first(fd: int, target: files.Directory, name: str) -> bool:
            monkeypatch.setattr(files, "link_unnamed", link)
            careless.add(b"content")
            return link(fd, target, name)

        def note(fd: int, path: str) -> None:
            synced.append(os.fstat(fd).st_ino)
            sync(fd, path)

        monkeypatch.setattr(files, "link_unnamed", first)
        monkeypatch.setattr(files, "sync", note)
        info = store.add(b"content")
        assert store.path(info.digest).stat().st_ino in synced


def test_an_ingest_whose_commit_may_be_undone_keeps_its_file(root: Path, disk: Disk) -> None:
    with contentdb.open(root) as store:
        store.add(b"the first")
        writer = store.writer("r")
        writer.write(b"content")
        disk.failing = True
        with pytest.raises(CommitUnknownError):
            writer.commit()
        assert [path for path in (root / "ingest").iterdir() if path.stat().st_size == 7]
        disk.failing = False
        assert writer.closed
        with store.writer("r", resume=True) as again:
            again.write(b"content"[again.offset :])
            assert not again.commit().new


def test_an_ingest_that_ends_or_is_taken_over_leaves_no_offset_behind(
    root: Path, disk: Disk
) -> None:
    """A power cut would bring an offset back, beside another ingest's file."""
    with contentdb.open(root) as store:
        with store.writer("r") as writer:
            writer.write(b"x" * 100)
        disk.syncs = 0
        store.abort("r")
        assert disk.syncs == 1
        store.writer("r").close()
        assert disk.syncs == 1  # there is none to take over
        store.writer("r", resume=True).close()
        assert disk.syncs == 2


def test_a_delete_elsewhere_is_on_disk_before_its_file_is_pruned(root: Path, disk: Disk) -> None:
    with contentdb.open(root, namespace="other") as elsewhere:
        digest = elsewhere.add(b"content").digest
        keeper = connect(str(root / "index.sqlite"), query_only=True)  # or the log is folded in
        keeper.execute("SELECT * FROM blobs").fetchall()
        with _cutting_syncs_off():
            elsewhere.delete(digest)
    with contentdb.open(root) as store:
        disk.syncs = 0
        assert [each.kind for each in store.prune(older_than=0)] == ["orphan"]
        assert disk.syncs == 1
    keeper.close()


def test_a_mark_that_another_process_made_is_seen_by_one_that_writes(
    pair: tuple[contentdb.Store, contentdb.Store], disk: Disk, root: Path
) -> None:
    """Linux may tell a failed commit of the filesystem's journal to that process alone."""
    one, other = pair
    parts_of(other).index._database._log.note_hole()
    disk.syncs = 0
    one.add(b"content")
    assert disk.syncs == 2  # its own, and the mend's
    assert not (root / "index.sqlite-wal-hole").exists()


def test_a_blob_that_was_stored_again_is_not_taken_for_a_delete_that_is_on_disk(
    pair: tuple[contentdb.Store, contentdb.Store], disk: Disk
) -> None:
    """Between the page of deletes and the look at each: its next delete keeps the row's time."""
    one, other = pair
    digest = contentdb.Digest.of(b"content")
    other.add(b"content")
    index, theirs = parts_of(one).index, parts_of(other).index
    theirs.entomb(digest, parts_of(other).shards.time(digest))
    one_row = index._database.one

    def revive_first(statement: str, values: dict[str, object]) -> object:
        index._database.one = one_row  # type: ignore[method-assign]
        other.add(b"content")
        return one_row(statement, values)

    index._database.one = revive_first  # type: ignore[method-assign]
    assert list(index.tombstones()) == []


def test_the_child_of_a_fork_in_c_does_not_keep_the_roots_lock(
    pair: tuple[contentdb.Store, contentdb.Store], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has a copy of the descriptor; here a copy of ours stands for it."""
    one, other = pair
    copies: list[int] = []
    lock_shared = files.lock_shared

    def copy(fd: int, path: str, *, wait: float = 0) -> bool:
        copies.append(os.dup(fd))
        return lock_shared(fd, path, wait=wait)

    one.add(b"content")
    monkeypatch.setattr(files, "lock_shared", copy)
    other.add(b"content")
    lock = files.open_directory(str(root))
    assert files.lock(lock.fd, lock.path)
    lock.close()
    for fd in copies:
        os.close(fd)
    assert copies


def test_the_logs_name_is_put_on_disk_once_in_a_process(
    root: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not again where a process first answers "stored already", and then writes."""
    synced: list[str] = []
    sync = files.sync_directory

    def note(directory: files.Directory) -> None:
        synced.append(directory.path)
        sync(directory)

    with contentdb.open(root) as keeper:
        keeper.add(b"content")
        with contentdb.open(root) as store:
            monkeypatch.setattr(files, "sync_directory", note)
            store.add(b"content")
            store.add(b"new")
            assert synced.count(str(root)) == 1
