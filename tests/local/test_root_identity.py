"""What becomes of an open store whose files are moved or replaced under it.

SQLite opens its files by path, and directories are held open: without a look, a write would land
half in the one store and half in the other.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

import contentdb
from contentdb import Digest, forks
from tests.fixtures import blob_files
from tests.inside import parts_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from contentdb import Store

    Move = Callable[[Path], None]


def another_root(root: Path) -> None:
    """The root was renamed away, and a new store made in its place."""
    root.rename(root.with_name("old"))
    with contentdb.open(root) as store:
        store.add(b"of the new one")


def no_root(root: Path) -> None:
    root.rename(root.with_name("old"))


def the_same_files_in_another_root(root: Path) -> None:
    """Writers of other processes queue at the new directory from now on."""
    root.rename(root.with_name("old"))
    root.mkdir(mode=0o700)
    for path in root.with_name("old").iterdir():
        path.rename(root / path.name)


def another_index(root: Path) -> None:
    """As when a backup of it is put in its place, without a stop."""
    shutil.copyfile(root / "index.sqlite", root / "copy")
    (root / "copy").rename(root / "index.sqlite")


def other_blobs(root: Path) -> None:
    (root / "blobs").rename(root / "old-blobs")
    shutil.copytree(root / "old-blobs", root / "blobs")


def a_link_to_the_blobs(root: Path) -> None:
    """To make room. A store with such a link is not opened again."""
    (root / "blobs").rename(root.with_name("elsewhere"))
    (root / "blobs").symlink_to(root.with_name("elsewhere"))


MOVES = [
    another_root, no_root, the_same_files_in_another_root, another_index, other_blobs,
    a_link_to_the_blobs,
]  # fmt: skip


def files_of(*roots: Path) -> dict[str, bytes]:
    return {digest: data for root in roots for digest, data in blob_files(root).items()}


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("forked", [False, True])
def test_a_write_is_refused_and_lands_in_neither(
    store: Store, root: Path, move: Move, *, forked: bool
) -> None:
    """Whether its connections were made before or after."""
    first = store.add(b"first").digest
    move(root)
    if forked:
        parts_of(store).index.before_fork()
        forks.free()
    seen = "index.sqlite" if move is another_index else "blobs" if "blobs" in str(move) else root
    for write in (
        lambda: store.add(b"second"),
        lambda: store.update(first, {"a": "b"}),
        lambda: store.delete(first),
        lambda: store.writer("r"),
    ):
        with pytest.raises(contentdb.StoreError, match="moved or replaced") as caught:
            write()
        assert caught.value.root == str(root)
        assert str(seen) in str(caught.value)
    for found in (root, root.with_name("old")):
        if (found / "blobs").is_dir() and not (found / "blobs").is_symlink():
            with contentdb.open(found) as other:
                assert {info.digest for info in other.walk()} <= {
                    first, Digest.of(b"of the new one"),
                }  # fmt: skip
                assert list(other.statuses()) == []


@pytest.mark.parametrize("move", MOVES)
def test_no_connection_is_made_to_what_took_the_place(store: Store, root: Path, move: Move) -> None:
    """Its rows would say nothing of the files that this store has open."""
    digest = store.add(b"first").digest
    move(root)
    parts_of(store).index.before_fork()
    forks.free()
    with pytest.raises(contentdb.StoreError, match="moved or replaced"):
        store.usage()
    assert store.read(digest) == b"first"  # by what is open


@pytest.mark.parametrize("move", MOVES)
def test_no_path_is_told_that_leads_elsewhere(store: Store, root: Path, move: Move) -> None:
    digest = store.add(b"first").digest
    move(root)
    with pytest.raises(contentdb.StoreError, match="moved or replaced"):
        store.path(digest)


def test_what_is_open_is_read_on(store: Store, root: Path) -> None:
    digest = store.add(b"first").digest
    assert store.usage().blobs == 1
    another_root(root)
    assert store.read(digest) == b"first"
    assert store.usage().blobs == 1


def test_a_root_that_came_back_is_written_to_again(store: Store, root: Path) -> None:
    """And the queue of writers is at that root, not at the one in between."""
    store.add(b"first")
    another_root(root)
    with pytest.raises(contentdb.StoreError):
        store.add(b"second")
    root.rename(root.with_name("new"))
    root.with_name("old").rename(root)
    store.add(b"second")
    lock = parts_of(store).index._database._lock
    assert lock is not None
    assert os.path.samestat(os.fstat(lock.fd), root.stat())


def test_the_new_store_keeps_its_log_when_the_old_one_is_closed(store: Store, root: Path) -> None:
    """Its name is that of the old one's log, which the last close removes."""
    store.add(b"first")
    root.rename(root.with_name("old"))
    with contentdb.open(root) as new:
        new.add(b"of the new one")
        store.close()
        assert (root / "index.sqlite-wal").stat().st_size
        new.add(b"another")
    with contentdb.open(root) as new:
        assert new.usage().blobs == 2
    with contentdb.open(root.with_name("old")) as old:
        assert old.usage().blobs == 1


def test_a_store_that_was_opened_to_be_read_says_so_too(root: Path) -> None:
    contentdb.open(root).close()
    with contentdb.open(root, mode="r") as store:
        assert store.usage().blobs == 0
        another_root(root)
        with pytest.raises(contentdb.StoreError, match="moved or replaced"):
            store.usage()


def test_reindex_and_migrate_leave_an_open_store_as_it_is(store: Store, root: Path) -> None:
    store.add(b"first")
    contentdb.migrate(root)
    contentdb.reindex(root)
    store.add(b"second")
    assert store.usage().blobs == 2
