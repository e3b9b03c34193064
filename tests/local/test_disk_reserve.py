"""A full disk: what frees space finds some, what was stored stays, and errors say what is wrong."""

from __future__ import annotations

import errno
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

import contentdb
from contentdb import (
    Digest,
    IndexDamagedError,
    NoSpaceError,
    StorageError,
    StoreNotFoundError,
    StoreReadOnlyError,
)
from contentdb.local.layout import RESERVE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.root, pytest.mark.real("mkfs.ext4", "mount")]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small filesystem of its own."""
    image, place = tmp_path / "image", tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(96 << 20)
    place.mkdir()
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def fill(disk: Path) -> None:
    """Write until not a block is left."""
    with (disk / "ballast").open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


def test_what_frees_space_works_on_a_full_disk(disk: Path) -> None:
    root = disk / "store"
    with contentdb.open(root) as store:
        digests = [store.add(b"%d" % number * 9000).digest for number in range(4)]
        with store.writer("r") as writer:
            writer.write(b"half")
    assert (root / RESERVE).stat().st_size == 1 << 20
    fill(disk)
    with contentdb.open(root) as store:
        assert [info.digest for info in store.walk()] == sorted(digests)
        with pytest.raises(NoSpaceError) as caught:
            store.add(bytes(5 << 20))
        assert "No space left" in str(caught.value)
        store.abort("r")
        store.delete(digests[0])
        assert len(list(store.walk())) == 3
        assert not list(store.prune(older_than=0))
        assert not list(store.verify())
    assert not (root / RESERVE).exists()
    (disk / "ballast").unlink()
    with contentdb.open(root) as store:
        assert store.add(bytes(5 << 20)).size == 5 << 20
    assert (root / RESERVE).exists()


def test_a_full_disk_without_reserve_is_told(disk: Path) -> None:
    root = disk / "store"
    contentdb.open(root).close()
    (root / RESERVE).unlink()
    fill(disk)
    with pytest.raises(NoSpaceError, match="No space left"), contentdb.open(root) as store:
        list(store.walk())


def test_a_read_only_mount_is_told(disk: Path) -> None:
    root = disk / "store"
    with contentdb.open(root) as store:
        store.add(b"content")
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    with pytest.raises(StoreReadOnlyError, match="Read-only file system") as caught:
        contentdb.open(root)
    assert str(root) in str(caught.value)
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    with contentdb.open(root) as store:
        assert store.read(Digest.of(b"content")) == b"content"


def test_a_store_that_lost_its_index_is_told_from_none(disk: Path) -> None:
    root = disk / "store"
    with contentdb.open(root) as store:
        store.add(b"content")
    for path in root.glob("index.sqlite*"):
        path.unlink()
    for create in (True, False):
        with pytest.raises(IndexDamagedError, match="reindex"):
            contentdb.open(root, create=create)
    with pytest.raises(StoreNotFoundError):
        contentdb.open(disk / "none", create=False)


def test_a_reserve_that_cannot_be_looked_at_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contentdb.open(tmp_path / "store").close()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - numbers, not paths

    def refuse(_root: object) -> None:
        raise StorageError.of("stat", RESERVE, OSError(errno.EIO, "Input/output error"))

    monkeypatch.setattr("contentdb.local.disk_reserve.keep", refuse)
    with pytest.raises(StorageError):
        contentdb.open(tmp_path / "store")
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
