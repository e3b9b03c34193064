"""Temporary files of a group: whose owner lives are left alone, from their first moment on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import contentdb
from contentdb import files
from contentdb.local.upkeep.repair import adopt
from tests.inside import blob_path, parts_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest


def test_a_store_opened_while_a_group_begins_removes_nothing_of_it(
    store: contentdb.Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the making of a lock's file and its locking nobody seems to hold it."""
    lock = files.lock
    opened: list[int] = []

    def open_first(fd: int, path: str, *, wait: float | bool = False) -> bool:
        if "/ingest/." in path and not opened:
            opened.append(fd)
            contentdb.open(root).close()
        return lock(fd, path, wait=wait)

    monkeypatch.setattr(files, "lock", open_first)

    def source() -> list[bytes]:
        return [b"%d" % number for number in range(3)]

    with store.batch():
        for data in source():
            store.add(data)
            contentdb.open(root).close()
    assert opened
    assert {store.read(info.digest) for info in store.walk()} == set(source())
    assert os.listdir(root / "ingest") == []  # noqa: PTH208 - its names are all there is to say


def test_a_dead_groups_files_go_when_a_store_is_opened(root: Path) -> None:
    contentdb.open(root).close()
    child = os.fork()
    if child == 0:
        store = contentdb.open(root)
        with store.batch():
            store.add(b"one")
            store.add(b"two")
            os._exit(0)
    os.waitpid(child, 0)
    assert len(list((root / "ingest").iterdir())) == 3
    contentdb.open(root).close()
    assert list((root / "ingest").iterdir()) == []


def test_content_that_was_pruned_and_then_adopted_before_its_row_is_still_new(
    store: contentdb.Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file without a name cannot be linked again, so its copy gets the name, with its time."""
    data = b"pruned and adopted"
    digest = contentdb.Digest.of(data)
    sync = files.sync_directory
    parts = parts_of(store)
    disturb: list[Callable[[], object]] = [
        lambda: adopt(parts, digest),
        lambda: blob_path(root, digest).unlink(),
    ]

    def sync_disturbed(directory: files.Directory) -> None:
        sync(directory)
        if disturb and blob_path(root, digest).exists():
            disturb.pop()()

    monkeypatch.setattr(files, "sync_directory", sync_disturbed)
    info = store.add(data)
    assert disturb == []
    assert info.new
