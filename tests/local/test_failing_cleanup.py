"""What is still kept when the steps that clean up after a failure fail as well.

All of these were found by failing every call of every scenario in `tests/crash`.
"""

from __future__ import annotations

import errno
import importlib
import os
import sqlite3
from typing import TYPE_CHECKING, NoReturn

import pytest

import contentdb
from contentdb import DurabilityError, StorageError, files
from contentdb.local.index.index import Index

if TYPE_CHECKING:
    from pathlib import Path

    from contentdb import Store


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - as text it opens nothing else


def _fail(*_: object, **__: object) -> NoReturn:
    raise StorageError("use", "a disk that fails", OSError(5, "Input/output error"))


def _fail_to_sync(*_: object) -> NoReturn:
    raise DurabilityError("sync", "a disk that fails", OSError(5, "Input/output error"))


def test_a_ref_is_free_after_its_beginning_and_its_cleaning_up_failed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(Index, "begin", _fail)
        broken.setattr(files, "unlink", _fail)
        with pytest.raises(StorageError):
            store.writer("ref")
    store.writer("ref").close()


def test_a_ref_is_free_after_its_commit_and_its_cleaning_up_failed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = store.writer("ref")
    writer.write(b"content")
    with monkeypatch.context() as broken:
        broken.setattr(files, "sync", _fail)
        broken.setattr(files, "make_writable", _fail)
        with pytest.raises(StorageError):
            writer.commit()
    with store.writer("ref", resume=True) as again:
        assert again.offset == 7


@pytest.mark.parametrize("step", ["commit", "close"])
def test_bytes_whose_sync_failed_are_dropped_even_if_their_row_stays(
    store: Store, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    writer = store.writer("ref")
    writer.write(b"content")
    with monkeypatch.context() as broken:
        broken.setattr(files, "sync", _fail_to_sync)
        broken.setattr(Index, "end", _fail)
        with pytest.raises(DurabilityError):
            getattr(writer, step)()
    with store.writer("ref", resume=True) as again:
        assert again.offset == 0


def test_bytes_of_a_commit_in_a_batch_whose_sync_failed_are_dropped(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DurabilityError), monkeypatch.context() as broken, store.batch():  # noqa: PT012
        for number in range(10):
            writer = store.writer(f"ref {number}")
            writer.write(b"content %d" % number)
            writer.commit()
        broken.setattr(files, "sync_filesystem", _fail_to_sync)
    assert list(store.statuses()) == []
    assert list(store.walk()) == []


def test_closing_frees_all_though_a_writer_cannot_be_closed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = contentdb.open(root)
    before = _open_files()
    writers = [store.writer(ref) for ref in ("one", "other")]
    for writer in writers:
        writer.write(b"content")
    with monkeypatch.context() as broken:
        broken.setattr(Index, "pause", _fail)
        with pytest.raises(StorageError):
            store.close()
    assert _open_files() < before
    with contentdb.open(root) as again:
        again.writer("one").close()
        again.writer("other").close()


def test_a_commit_stands_though_its_lock_cannot_be_freed(
    store: Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "unlock", lambda _fd: False)
    digest = store.add(b"content").digest
    with contentdb.open(root) as other:
        other.add(b"more")
    assert store.read(digest) == b"content"


def test_a_creation_that_was_cut_off_beside_its_journal_goes_on(root: Path) -> None:
    root.mkdir(mode=0o700)
    (root / "index.sqlite").touch(0o600)
    (root / "index.sqlite-journal").touch(0o600)
    with contentdb.open(root) as store:
        store.add(b"content")


# -- reindex --------------------------------------------------------------------------------------


def test_an_index_that_cannot_be_opened_now_is_not_replaced(
    store: Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add(b"content", labels={"kept": "yes"})
    store.close()

    def refuse(*_: object, **__: object) -> NoReturn:
        error = sqlite3.OperationalError("unable to open database file")
        error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(importlib.import_module("contentdb.local.index.salvage"), "connect", refuse)
        with pytest.raises(contentdb.IndexFailedError):
            contentdb.reindex(root)
    assert list((root / "quarantine").iterdir()) == []


@pytest.mark.parametrize("last", ["index.sqlite.whole", "index.sqlite"])
def test_a_replacement_that_was_cut_off_keeps_labels(
    store: Store, root: Path, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    """The new index has them; it must not be thrown away once the old one is gone."""
    digest = store.add(b"content", labels={"kept": "yes"}).digest
    store.close()
    rename = files.rename

    def cut_off(source: files.Directory, name: str, target: files.Directory, new_name: str) -> None:
        rename(source, name, target, new_name)
        if last in {name, new_name}:
            raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(files, "rename", cut_off)
        broken.setattr(
            importlib.import_module("contentdb.local.upkeep.reindex"), "_check_index", _damaged
        )
        with pytest.raises(KeyboardInterrupt):
            contentdb.reindex(root)
    contentdb.reindex(root)
    with contentdb.open(root) as again:
        assert again.info(digest).labels == {"kept": "yes"}


def _damaged(path: Path) -> NoReturn:
    raise contentdb.IndexDamagedError(str(path), "made up")


def test_a_blob_that_cannot_be_opened_for_want_of_descriptors_is_not_called_corrupt(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add(b"content")

    def refuse(*_: object) -> NoReturn:
        raise StorageError("open", "a blob", OSError(errno.EMFILE, "Too many open files"))

    with monkeypatch.context() as broken:
        broken.setattr("contentdb.local.blobs.Shards.open", refuse)
        with pytest.raises(StorageError):
            list(store.verify())
    assert list(store.verify()) == []
