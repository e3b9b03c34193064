"""What is particular to the local store's writers."""

from __future__ import annotations

import gc
import io
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

import contentdb
from contentdb import Digest, RefLockedError, StorageError, files
from contentdb.local.layout import ingest_name
from tests.fixtures import tree

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Buffer

    from contentdb import Store


def ingest_path(root: Path, ref: str = "r") -> Path:
    """The file of an ingest in the default namespace."""
    return root / "ingest" / ingest_name("default", ref)


def test_bytes_reach_the_file_as_they_are_written(store: Store, root: Path) -> None:
    """`offset` counts what another process finds in the file, not what waits in a buffer."""
    with store.writer("r") as writer:
        for count in (1, 70_000, 3):
            writer.write(b"x" * count)
            assert ingest_path(root).stat().st_size == writer.offset


def test_text_is_no_bytes(store: Store) -> None:
    with store.writer("r") as writer:
        with pytest.raises(TypeError):
            writer.write("text")  # type: ignore[arg-type]
        writer.write(b"content")
        assert writer.commit().size == 7


def test_truncate_cuts_the_file(store: Store, root: Path) -> None:
    with store.writer("r") as writer:
        writer.write(b"mistaken")
        writer.truncate()
        assert ingest_path(root).stat().st_size == 0


def test_the_refusal_tells_holder_and_time(store: Store, second: Store) -> None:
    with store.writer("r"), pytest.raises(RefLockedError, match=str(os.getpid())) as caught:
        second.writer("r")
    assert caught.value.held_s is not None
    assert 0 <= caught.value.held_s < 3600


def test_a_forgotten_writer_lets_go(store: Store, second: Store) -> None:
    """A writer that nobody has any more holds nothing; its bytes are kept."""
    writer = store.writer("r")
    writer.write(b"kept")
    del writer
    gc.collect()
    with second.writer("r", resume=True) as other:
        assert other.offset == 4


@pytest.mark.parametrize("by_hand", ["removed", "cut", "longer"])
def test_an_ingest_changed_by_hand(store: Store, root: Path, by_hand: str) -> None:
    """Whatever was done to the file, what is committed is what its digest says."""
    with store.writer("r", expected=Digest.of(b"content")) as writer:
        writer.write(b"cont")
    path = ingest_path(root)
    if by_hand == "removed":
        path.unlink()
    elif by_hand == "cut":
        os.truncate(path, 2)
    else:
        path.write_bytes(b"content and")
    info = store.ingest("r", io.BytesIO(b"content"))
    assert info.digest == Digest.of(b"content")
    assert store.read(info.digest) == b"content"
    assert list(store.statuses()) == []


def test_a_lock_file_removed_by_hand(store: Store, second: Store, root: Path) -> None:
    """Whoever removes the file of a held ingest may break it, but never makes two blobs of one."""
    with store.writer("r") as first:
        first.write(b"first")
        ingest_path(root).unlink()
        with second.writer("r") as other:
            other.write(b"second")
            assert other.commit().digest == Digest.of(b"second")
        with pytest.raises(contentdb.ContentDBError):
            first.commit()
    assert [info.digest for info in store.walk()] == [Digest.of(b"second")]
    assert list(store.verify()) == []


@pytest.mark.parametrize("link", ["reflink", "hardlink", "copy", "move"])
def test_links(store: Store, tmp_path: Path, link: str) -> None:
    """Each way of taking a file in stores its bytes; only `move` takes the source away."""
    source = tmp_path / "source"
    source.write_bytes(b"content" * 10_000)
    info = store.add(source, link=link)  # type: ignore[arg-type]
    assert store.read(info.digest) == b"content" * 10_000
    path = store.path(info.digest)
    assert path.stat().st_mode & 0o777 == 0o444
    assert source.exists() == (link != "move")
    if link == "hardlink":
        assert path.stat().st_ino == source.stat().st_ino
    if link in {"copy", "reflink"}:
        source.write_bytes(b"changed")
        assert store.read(info.digest) == b"content" * 10_000
    assert list(store.verify()) == []


@pytest.mark.parametrize("link", ["hardlink", "move"])
def test_links_of_stored_content(store: Store, tmp_path: Path, link: str) -> None:
    """Content that is there already stays in its own file; `move` still takes the source away."""
    digest = store.add(b"content").digest
    inode = store.path(digest).stat().st_ino
    source = tmp_path / "source"
    source.write_bytes(b"content")
    store.add(source, link=link)  # type: ignore[arg-type]
    assert store.path(digest).stat().st_ino == inode
    assert source.exists() == (link != "move")


@pytest.mark.parametrize("link", ["reflink", "hardlink", "copy", "move"])
def test_a_wrong_source_is_left_alone(store: Store, root: Path, tmp_path: Path, link: str) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"content")
    source.chmod(0o640)
    before = tree(root)
    with pytest.raises(contentdb.DigestMismatchError):
        store.add(source, expected=Digest.of(b"other"), link=link)  # type: ignore[arg-type]
    assert source.read_bytes() == b"content"
    assert source.stat().st_mode & 0o777 == 0o640
    assert tree(root) == before


@pytest.mark.parametrize("kind", ["directory", "missing", "fifo", "dangling"])
def test_sources_that_are_no_files(store: Store, root: Path, tmp_path: Path, kind: str) -> None:
    source = tmp_path / "source"
    if kind == "directory":
        source.mkdir()
    elif kind == "fifo":
        os.mkfifo(source)
    elif kind == "dangling":
        source.symlink_to("nowhere")
    before = tree(root)
    with pytest.raises(contentdb.ContentDBError, match="source"):
        store.add(source)
    assert tree(root) == before


@pytest.mark.parametrize("link", ["reflink", "hardlink", "copy"])
def test_export(store: Store, tmp_path: Path, link: str) -> None:
    digest = store.add(b"content" * 10_000).digest
    target = tmp_path / "target"
    assert store.export(digest, target, link=link) == target  # type: ignore[arg-type]
    assert target.read_bytes() == b"content" * 10_000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store", "target"]
    if link == "hardlink":
        assert target.stat().st_ino == store.path(digest).stat().st_ino


def test_export_of_damage_leaves_the_target(store: Store, tmp_path: Path) -> None:
    digest = store.add(b"content").digest
    path = store.path(digest)
    path.chmod(0o644)
    path.write_bytes(b"CONTENT")
    target = tmp_path / "target"
    target.write_bytes(b"before")
    with pytest.raises(contentdb.CorruptBlobError):
        store.export(digest, target, link="copy")
    assert target.read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store", "target"]


def test_export_names_what_it_cannot_write(store: Store, tmp_path: Path) -> None:
    digest = store.add(b"content").digest
    with pytest.raises(StorageError, match="nowhere"):
        store.export(digest, tmp_path / "nowhere" / "target", link="copy")


def test_ingest_of_a_real_file(store: Store, tmp_path: Path) -> None:
    """A file with a descriptor goes in whole, and resumes."""
    content = os.urandom(5_000_000)
    (tmp_path / "source").write_bytes(content)
    with store.writer("r") as writer:
        writer.write(content[:2_000_000])
    with (tmp_path / "source").open("rb") as source:
        info = store.ingest("r", source, total=len(content), expected=Digest.of(content))
    assert store.read(info.digest) == content


def test_ingest_of_a_real_pipe(store: Store) -> None:
    read, write = os.pipe()
    os.write(write, b"content")
    os.close(write)
    with os.fdopen(read, "rb") as source:
        assert store.ingest("r", source, expected=Digest.of(b"content")).size == 7


class _InterruptedError(Exception):
    """What a signal's handler raises."""


def _raise(*_: object) -> None:
    raise _InterruptedError


@pytest.mark.parametrize("behind", [False, True], ids=["before the write", "behind it"])
@pytest.mark.parametrize("size", [100, 600_000], ids=["small", "by a thread"])
def test_a_handler_that_raises_in_a_write_leaves_a_writer_that_is_true(
    store: Store, monkeypatch: pytest.MonkeyPatch, *, behind: bool, size: int
) -> None:
    """What is counted is what is hashed and in the file, whatever the write had done by then."""
    original = files.write

    def write(fd: int, data: Buffer, path: str) -> int:
        if behind:
            original(fd, data, path)
        raise _InterruptedError

    with store.writer("r") as writer:
        writer.write(b"first")
        with monkeypatch.context() as patched:
            patched.setattr(files, "write", write)
            with pytest.raises(_InterruptedError):
                writer.write(b"x" * size)
        assert writer.offset == 5
        assert writer.digest == Digest.of(b"first")
        writer.write(b"second")
        assert writer.commit().digest == Digest.of(b"firstsecond")
    assert store.read(Digest.of(b"firstsecond")) == b"firstsecond"


def test_signals_at_any_moment_leave_a_writer_that_is_true(store: Store) -> None:
    before = signal.signal(signal.SIGALRM, _raise)
    try:
        for turn in range(150):
            writer = store.writer("r")
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.00005 + turn * 0.000004)
                while True:
                    writer.write(b"%d" % turn * 5_000)
            except _InterruptedError:
                pass
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            if not writer.closed and writer.offset:  # it may have come before the first write
                data = store.read(writer.commit().digest)
                assert data == (b"%d" % turn * 5_000) * (len(data) // len(b"%d" % turn) // 5_000)
            writer.close()
            with suppress(contentdb.NotFoundError):
                store.abort("r")
    finally:
        signal.signal(signal.SIGALRM, before)
    assert list(store.verify()) == []


def test_an_ingest_of_something_else_is_left_alone(store: Store) -> None:
    """The content that is wanted now is stored already; what the ref was begun for is not."""
    store.add(b"stored")
    with store.writer("r", expected=Digest.of(b"another"), total=7) as writer:
        writer.write(b"ano")
    store.ingest("r", io.BytesIO(b"stored"), expected=Digest.of(b"stored"))
    assert store.status("r").offset == 3


def test_a_first_total_below_what_is_there_is_refused_and_forgotten(store: Store) -> None:
    with store.writer("r") as writer:
        writer.write(b"123456")
    with pytest.raises(contentdb.FailedPreconditionError, match="has 6 bytes already"):
        store.writer("r", total=3, resume=True)
    assert store.status("r").total is None
    store.ingest("r", io.BytesIO(b"123456789"), total=9)


def test_a_writer_that_waits_does_not_keep_the_store_open(root: Path) -> None:
    """The ref is held by the very store that is closed."""
    store = contentdb.open(root)
    writer = store.writer("r")
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(store.writer, "r", wait=True)
        time.sleep(0.05)
        store.close()
        assert writer.closed
        with pytest.raises(contentdb.StoreClosedError):
            waiting.result(timeout=10)
