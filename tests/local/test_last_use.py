"""What a read notes of a blob's last use, and that it writes nothing else."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

import contentdb
from contentdb.local.last_use import find_use, forget_use, is_noted, note_use
from tests.inside import blob_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from contentdb import Store

HOUR_NS = 3600 * 10**9


@pytest.fixture
def store(root: Path) -> Iterator[Store]:
    with contentdb.open(root) as store:
        yield store


def age(path: Path, *, used_ago_ns: int) -> os.stat_result:
    """Let a blob's file look last used so long ago; a read of it moves nothing by itself."""
    found = path.stat()
    os.utime(path, ns=(time.time_ns() - used_ago_ns, found.st_mtime_ns))
    return path.stat()


def old(store: Store, root: Path) -> tuple[str, Path]:
    """A blob that was stored, and used since, some hours ago."""
    digest = store.add(b"content").digest
    path = blob_path(root, digest)
    os.utime(path, ns=(time.time_ns() - 2 * HOUR_NS, path.stat().st_mtime_ns - 3 * HOUR_NS))
    return digest, path


def test_reads_write_nothing_to_the_index(store: Store, root: Path) -> None:
    """A thousand of them, in a cache; nor do they change what its file says of it."""
    store.set_policy(max_bytes=1 << 20, grace=timedelta(0))
    digests = [store.add(b"%d" % number).digest for number in range(10)]
    before = [path.read_bytes() for path in sorted(root.glob("index.sqlite*"))]
    times = [blob_path(root, digest).stat().st_mtime_ns for digest in digests]
    for turn in range(100):
        for digest in digests:
            if turn % 10 == 0:
                age(blob_path(root, digest), used_ago_ns=2 * HOUR_NS)
            store.read(digest)
    shared = {"index.sqlite-shm"}  # readers lock it
    after = [path.read_bytes() for path in sorted(root.glob("index.sqlite*"))]
    names = [path.name for path in sorted(root.glob("index.sqlite*"))]
    for name, one, other in zip(names, before, after, strict=True):
        assert name in shared or sha256(one).digest() == sha256(other).digest(), name
    assert [blob_path(root, digest).stat().st_mtime_ns for digest in digests] == times


@pytest.mark.parametrize("way", ["open", "read", "path"])
def test_a_cache_notes_a_use(store: Store, root: Path, way: str) -> None:
    """Also where the mount does not, which a time of access after a day ago stands for."""
    store.set_policy(max_bytes=1 << 20)
    digest, path = old(store, root)
    before = path.stat()
    found = getattr(store, way)(digest)
    if way == "open":
        found.close()
    now = path.stat()
    assert now.st_atime_ns - before.st_atime_ns > HOUR_NS
    assert now.st_mtime_ns == before.st_mtime_ns


def test_a_store_without_a_cache_leaves_that_to_the_mount(store: Store, root: Path) -> None:
    digest, path = old(store, root)
    before = path.stat().st_atime_ns
    store.path(digest)
    store.open(digest).close()
    assert path.stat().st_atime_ns == before


def test_upkeep_is_no_use(store: Store, root: Path, tmp_path: Path) -> None:
    """Not `verify`, and no copy for a backup."""
    store.set_policy(max_bytes=1 << 20)
    digest, path = old(store, root)
    os.utime(path, ns=(path.stat().st_mtime_ns,) * 2)  # the kernel would move it at the next read
    before = path.stat().st_atime_ns
    assert list(store.verify()) == []
    assert list(store.verify(quick=True)) == []
    store.export(digest, tmp_path / "copy")
    assert path.stat().st_atime_ns == before


def test_new_labels_leave_the_time_of_access(store: Store, root: Path) -> None:
    digest = store.add(b"content").digest
    before = age(blob_path(root, digest), used_ago_ns=HOUR_NS).st_atime_ns
    store.update(digest, {"k": "v"})
    found = blob_path(root, digest).stat()
    assert found.st_atime_ns == before
    assert found.st_mtime_ns == store.info(digest).updated_ns


def test_a_use_is_told_from_none(root: Path, store: Store) -> None:
    path = blob_path(root, store.add(b"content").digest)
    fd = os.open(path, os.O_RDONLY | os.O_NOATIME)
    try:
        assert find_use(os.fstat(fd)) == 0
        note_use(fd)
        noted = os.fstat(fd)
        assert is_noted(noted)
        assert noted.st_atime_ns < find_use(noted) <= time.time_ns()
        forget_use(fd, noted)
        assert find_use(os.fstat(fd)) == 0
        assert not is_noted(os.fstat(fd))
        assert os.fstat(fd).st_mtime_ns == noted.st_mtime_ns
    finally:
        os.close(fd)
