"""Damaged objects: found before a source goes, and marked only as long as they are damaged."""

from __future__ import annotations

import shutil
import threading
from typing import TYPE_CHECKING

import pytest

import contentdb
from contentdb.cluster.catalog import blobs
from contentdb.cluster.damage import settled
from contentdb.cluster.extents import Place, Run
from contentdb.cluster.fetch import is_whole
from contentdb.cluster.objects import Bucket
from contentdb.errors import CorruptBlobError, StorageError
from tests.inside import resources_of

if TYPE_CHECKING:
    from pathlib import Path

LIMIT_S = 60
ONE = b"an object" * 1000
LONG = b"segments" * (2 << 20)


def object_files(folder: Path) -> list[Path]:
    """The objects that have bytes of blobs: no manifests."""
    found = [path for name in ("blobs", "parts") for path in (folder / "objects" / name).rglob("*")]
    return [path for path in found if path.is_file() and path.suffix != ".m"]


def spoil(folder: Path) -> None:
    """Change the first bytes of all objects, whose sizes stay."""
    for path in object_files(folder):
        with path.open("r+b") as file:
            file.write(b"spoilt")


@pytest.mark.parametrize("namespace", ["default", "other"])
@pytest.mark.parametrize("data", [ONE, LONG], ids=["object", "segments"])
def test_a_moved_source_heals_a_damaged_blob(
    place: str, tmp_path: Path, data: bytes, namespace: str
) -> None:
    """The source may be the last good copy, so the stored one is read before it is removed."""
    with contentdb.open(place) as store:
        store.add(data)
    spoil(tmp_path)
    source = tmp_path / "source"
    source.write_bytes(data)
    with contentdb.open(place, namespace=namespace) as store:
        digest = store.add(source, link="move").digest
        assert not source.exists()
        assert store.read(digest) == data


def test_a_moved_source_heals_a_row(store: contentdb.Store, tmp_path: Path) -> None:
    digest = store.add(b"small").digest
    resources_of(store).database.change("UPDATE objects SET inline = 'spoil'::bytea")
    source = tmp_path / "source"
    source.write_bytes(b"small")
    store.add(source, link="move")
    assert store.read(digest) == b"small"


@pytest.mark.parametrize("data", [ONE, LONG], ids=["object", "segments"])
def test_a_bucket_that_is_away_for_a_moment_damages_no_blob(
    store: contentdb.Store, tmp_path: Path, data: bytes
) -> None:
    """Absent, or another store's in its place: neither tells that an object is lost."""
    digest = store.add(data).digest
    (tmp_path / "objects").rename(tmp_path / "away")
    acts = (
        lambda: store.read(digest),
        lambda: store.add(data),
        lambda: list(store.add_many([data])),
    )
    for mark in (None, '{"uuid": "another", "epoch": ""}'):
        if mark:
            (tmp_path / "objects").mkdir(exist_ok=True)
            (tmp_path / "objects" / "contentdb.json").write_text(mark)
        for act in acts:
            with pytest.raises(StorageError, match="is away or another's"):
                act()
    shutil.rmtree(tmp_path / "objects")
    (tmp_path / "away").rename(tmp_path / "objects")
    assert store.exists(digest)
    assert store.read(digest) == data


@pytest.mark.parametrize("act", ["read", "open", "expected", "add", "add_many"])
def test_an_object_that_came_back_is_damaged_no_more(
    store: contentdb.Store, tmp_path: Path, act: str
) -> None:
    digest = store.add(ONE).digest
    (path,) = object_files(tmp_path)
    path.rename(tmp_path / "away")
    for _ in range(2):
        with pytest.raises(CorruptBlobError):
            store.read(digest)
    assert not store.exists(digest)
    (tmp_path / "away").rename(path)
    if act == "expected":
        assert not store.add(b"not read", expected=digest).new
    elif act.startswith("add"):
        (info,) = [store.add(ONE)] if act == "add" else store.add_many([ONE])
        assert not info.new
        assert object_files(tmp_path) == [path]
    else:
        assert (store.read(digest) if act == "read" else store.open(digest).read()) == ONE
    assert store.exists(digest)


def test_the_objects_of_many_blobs_are_looked_at_side_by_side(
    store: contentdb.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    resources = resources_of(store)
    digests = [store.add(b"%d" % number * 9000).digest for number in range(3)]
    resources.bucket.delete([one.key for one in list(resources.bucket.list("blobs/"))[:1]])
    together = threading.Barrier(len(digests))
    size = Bucket.size

    def wait(self: Bucket, key: str) -> int | None:
        together.wait(LIMIT_S)
        return size(self, key)

    monkeypatch.setattr(Bucket, "size", wait)
    found = blobs.find_many(resources.database, "default", digests)
    assert sorted(one.damaged for one in settled(resources, *found.values())) == [
        False,
        False,
        True,
    ]
    assert [store.exists(digest) for digest in digests].count(False) == 1


def test_a_long_blob_costs_one_list_for_each_writer(
    store: contentdb.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two sizes of segments are two runs, of one prefix."""
    bucket = resources_of(store).bucket
    for number, size in enumerate((8, 8, 64, 10)):
        bucket.put(f"parts/1.1/{number:08}", bytes(size))
    listed: list[str] = []
    sizes = Bucket.sizes

    def count(self: Bucket, prefix: str) -> dict[str, int]:
        listed.append(prefix)
        return sizes(self, prefix)

    monkeypatch.setattr(Bucket, "sizes", count)
    runs = (Run("parts/1.1/", 0, 2, 8, 8), Run("parts/1.1/", 2, 2, 64, 10))
    assert is_whole(resources_of(store), Place("key", runs), 90)
    assert listed == ["parts/1.1/"]
    bucket.put("parts/1.1/00000002", bytes(63))
    assert not is_whole(resources_of(store), Place("key", runs), 90)
