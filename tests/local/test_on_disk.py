"""What lies on disk, and with which rights: the tree of the contract's section 7, and no more."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

import contentdb
from contentdb import Digest, FailedPreconditionError
from contentdb.local.layout import DIRECTORIES, ingest_name
from tests.fixtures import blob_files, tree
from tests.inside import blob_path

if TYPE_CHECKING:
    from pathlib import Path

    from contentdb import Store

WILD_REFS = ["../../x", "/etc/passwd", "a/b", "new\nline", ".", "..", "x" * 4096]


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_blobs_lie_by_their_digest(store: Store, root: Path, algorithm: str) -> None:
    """7.1: a name in blobs/ is the blob's digest."""
    digest = Digest.of(b"content", algorithm)
    store.add(b"content", expected=digest)
    path = root / "blobs" / algorithm / digest.encoded[:2] / digest.encoded
    assert store.path(digest) == path
    assert path.read_bytes() == b"content"
    assert path.stat().st_mode & 0o777 == 0o444
    assert path.stat().st_nlink == 1


def test_an_ingest_lies_by_the_hash_of_its_ref(store: Store, root: Path) -> None:
    with store.writer("a ref") as writer:
        writer.write(b"content")
        path = root / "ingest" / ingest_name("default", "a ref")
        assert path.read_bytes() == b"content"
        assert path.stat().st_mode & 0o777 == 0o600
        assert [one.name for one in (root / "ingest").iterdir()] == [path.name]
        writer.commit()
    assert list((root / "ingest").iterdir()) == []


def test_the_root_is_private(store: Store, root: Path) -> None:
    assert root.stat().st_mode & 0o777 == 0o700
    assert {path.name for path in root.iterdir() if path.is_dir()} == set(DIRECTORIES)
    assert (root / "index.sqlite").stat().st_mode & 0o077 == 0


def test_nothing_else_is_left(store: Store, root: Path) -> None:
    """After commits, refusals, aborts and deletes just the blobs are there."""
    store.add(b"kept")
    with store.writer("committed") as writer:
        writer.write(b"committed")
        writer.commit()
    with store.writer("already") as writer:
        writer.write(b"kept")
        writer.commit()
    with store.writer("already") as writer, pytest.raises(contentdb.AlreadyExistsError):  # noqa: PT012
        writer.write(b"kept")
        writer.commit(exist_ok=False)
    with store.writer("aborted") as writer:
        writer.write(b"aborted")
    store.abort("aborted")
    with pytest.raises(contentdb.DigestMismatchError):
        store.add(b"bad", expected=Digest.of(b"good"))
    store.delete(store.add(b"deleted").digest)
    list(store.add_many([b"one", b"two", b"one"]))
    assert sorted(tree(root).values()) == sorted([b"kept", b"committed", b"one", b"two"])
    assert set(blob_files(root)) == {info.digest for info in store.walk()}


@pytest.mark.parametrize("ref", WILD_REFS, ids=range(len(WILD_REFS)))
def test_refs_stay_in_the_store(store: Store, root: Path, tmp_path: Path, ref: str) -> None:
    with store.writer(ref) as writer:
        writer.write(b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
    assert len(list((root / "ingest").iterdir())) == 1
    store.abort(ref)
    assert tree(root) == {}


@pytest.mark.parametrize("resume", [False, True])
def test_a_hash_collision_is_an_error(store: Store, root: Path, *, resume: bool) -> None:
    """7.2: the file of another ref under the same name is never taken for one's own bytes."""
    with store.writer("one") as writer:
        writer.write(b"bytes of one")
    taken = root / "ingest" / ingest_name("default", "one")
    taken.rename(root / "ingest" / ingest_name("default", "two"))
    with store.writer("two", resume=resume) as writer:
        assert writer.offset == 0
        assert writer.digest == Digest.of(b"")


def test_the_index_is_a_database_in_wal_mode(store: Store, root: Path) -> None:
    store.add(b"content")
    with sqlite3.connect(f"file:{root}/index.sqlite?mode=ro", uri=True) as index:
        assert index.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert index.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert index.execute("PRAGMA foreign_key_check").fetchall() == []
    index.close()


def test_a_clean_store_has_no_findings(store: Store) -> None:
    for number in range(10):
        store.add(b"%d" % number)
    with store.writer("r") as writer:
        writer.write(b"in flight")
        assert list(store.verify()) == []
        assert list(store.verify(quick=True)) == []


def test_deleting_removes_the_file(store: Store, root: Path) -> None:
    digest = store.add(b"content").digest
    store.delete(digest)
    assert not blob_path(root, digest).exists()
    assert list((root / "trash").iterdir()) == []


def test_a_refused_writer_leaves_no_file(store: Store, root: Path) -> None:
    """Not even where the ingest that it contradicts has lost its own, as an abort leaves it."""
    with store.writer("ref", total=3) as writer:
        writer.write(b"con")
    next((root / "ingest").iterdir()).unlink()
    with pytest.raises(FailedPreconditionError):
        store.writer("ref", total=4, resume=True)
    assert list((root / "ingest").iterdir()) == []
    with store.writer("ref", total=3, resume=True) as writer:
        assert writer.offset == 0
