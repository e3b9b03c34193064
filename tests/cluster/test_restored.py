"""A database that was restored or copied: no blob that it does not know is removed."""

from __future__ import annotations

import subprocess
import sys
import time
from threading import Thread
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import contentdb
from contentdb.cluster.catalog.blobs import take_out
from contentdb.cluster.damage import examine
from contentdb.cluster.objects import Bucket
from contentdb.cluster.upkeep import prune
from contentdb.cluster.upkeep.adopt import adopt
from contentdb.errors import NotAStoreError, StoreError
from tests.inside import resources_of

if TYPE_CHECKING:
    from pathlib import Path

    from contentdb.cluster.catalog.blobs import StoredObject
    from contentdb.cluster.resources import Resources
    from tests.cluster.servers import Postgres

LONG = b"0123456789" * 1_000_000
ADD = """
import contentdb, sys
with contentdb.open(sys.argv[1]) as store:
    for number in sys.argv[2:]:
        store.add(number.encode() * 9000)
"""


def add(place: str, *numbers: int) -> None:
    """Add contents from a process that has ended on return."""
    subprocess.run([sys.executable, "-c", ADD, place, *map(str, numbers)], check=True)


def content(number: int) -> bytes:
    return str(number).encode() * 9000


def digest(number: int) -> contentdb.Digest:
    return contentdb.Digest.of(content(number))


def order(postgres: Postgres, statement: str) -> None:
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(statement.encode())


def dump(place: str) -> str:
    done = subprocess.run(["pg_dump", "-d", place], capture_output=True, text=True, check=True)
    return done.stdout


def restore(postgres: Postgres, place: str, dumped: str) -> None:
    """Replace a database by its dump."""
    name = place.rpartition("/")[2]
    order(postgres, f"DROP DATABASE {name} WITH (FORCE)")
    order(postgres, f"CREATE DATABASE {name}")
    subprocess.run(["psql", "-q", "-d", place], input=dumped, text=True, check=True,
                   capture_output=True)  # fmt: skip


def copy(postgres: Postgres, place: str) -> str:
    """Copy a database that nothing is connected to; return the URL of the copy."""
    name = place.rpartition("/")[2]
    order(postgres, f"CREATE DATABASE {name}_copy TEMPLATE {name}")
    return f"{place}_copy"


def blob_files(folder: Path) -> list[Path]:
    return [path for path in (folder / "objects" / "blobs").rglob("*") if path.is_file()]


def test_a_dump_that_was_restored_into_the_same_server_removes_nothing(
    postgres: Postgres, place: str
) -> None:
    """What was acknowledged after the dump is adopted by a reindex."""
    add(place, 1)
    dumped = dump(place)
    add(place, 2, 3)
    restore(postgres, place, dumped)
    with contentdb.open(place) as store:
        with pytest.raises(StoreError, match="restored, copied or failed over"):
            store.prune(older_than=0)
        assert store.adopt() == (2, 0)
        store.prune(older_than=0)
        assert [store.read(digest(number)) for number in (1, 2, 3)] == list(map(content, (1, 2, 3)))


def test_tables_that_were_made_again_remove_nothing(place: str) -> None:
    """`pg_restore --clean` keeps the database, and drops its tables."""
    dumped = dump(place)
    add(place, 1)
    with psycopg.connect(place) as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    subprocess.run(["psql", "-q", "-d", place], input=dumped, text=True, check=True,
                   capture_output=True)  # fmt: skip
    with contentdb.open(place) as store:
        with pytest.raises(StoreError, match="restored, copied or failed over"):
            store.prune(older_than=0)
        assert store.adopt() == (1, 0)


def test_a_copy_of_the_database_removes_no_objects_of_the_original(
    postgres: Postgres, place: str
) -> None:
    add(place, 1)
    with contentdb.open(copy(postgres, place)) as copied, contentdb.open(place) as original:
        copied.delete(digest(1))
        with pytest.raises(StoreError, match="restored, copied or failed over"):
            copied.prune(older_than=0)
        assert original.prune(older_than=0) == []
        assert original.read(digest(1)) == content(1)


def test_one_database_at_a_time_removes_the_objects_of_a_bucket(
    postgres: Postgres, place: str
) -> None:
    """A reindex takes the bucket over; the other one, which lives on, removes nothing from then."""
    add(place, 1)
    url = copy(postgres, place)
    with contentdb.open(url) as copied, contentdb.open(place) as original:
        assert copied.adopt(dry_run=True) == (0, 0)
        original.prune(older_than=0)
        add(url, 2)
        assert copied.adopt() == (0, 0)
        copied.prune(older_than=0)
        with pytest.raises(StoreError, match="over by its reindex"):
            original.prune(older_than=0)
        assert original.adopt() == (1, 0)  # takes it back
        original.prune(older_than=0)
        with pytest.raises(StoreError, match="over by its reindex"):
            copied.prune(older_than=0)
        assert [store.read(digest(2)) for store in (copied, original)] == [content(2)] * 2


@pytest.mark.parametrize("kind", ["trash", "orphan"])
def test_a_prune_under_way_ends_when_another_database_takes_the_bucket(
    postgres: Postgres, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """What it has not removed by then may be what only the other one knows."""
    add(place, 1, 2)
    url = copy(postgres, place)
    with contentdb.open(url) as copied, contentdb.open(place) as original:
        if kind == "trash":
            original.delete_many(digest(number) for number in (1, 2))
        else:
            resources_of(original).database.change("TRUNCATE blobs, objects")
        delete = Bucket.delete
        removed: list[str] = []

        def take_over(self: Bucket, keys: list[str]) -> None:
            delete(self, keys)
            removed.extend(keys)
            copied.adopt()

        monkeypatch.setattr(Bucket, "delete", take_over)
        monkeypatch.setattr(prune, "_PAGE", 1)
        with pytest.raises(StoreError, match="over by its reindex"):
            original.prune(older_than=0)
        assert len(removed) == 1
        assert len(blob_files(tmp_path)) == 1


def test_a_bucket_that_is_away_is_neither_pruned_nor_reindexed(place: str, tmp_path: Path) -> None:
    with contentdb.open(place) as store:
        store.delete(store.add(content(1)).digest)
        (tmp_path / "objects").rename(tmp_path / "away")
        for act in (lambda: store.prune(older_than=0), store.adopt):
            with pytest.raises(NotAStoreError, match="holds no store"):
                act()
        (tmp_path / "away").rename(tmp_path / "objects")
        assert [one.kind for one in store.prune(older_than=0)] == ["trash"]


@pytest.mark.parametrize("spoil", ["remove", "cut off", "falsify"])
def test_a_found_object_takes_the_place_of_a_bad_one(
    postgres: Postgres, place: str, tmp_path: Path, spoil: str
) -> None:
    """After a delete and a new add, the row of an older dump names an object that is gone."""
    add(place, 1)
    (old,) = blob_files(tmp_path)
    dumped = dump(place)
    with contentdb.open(place) as store:
        store.delete(digest(1))
    add(place, 1)
    if spoil == "remove":
        old.unlink()
    else:
        old.write_bytes(b"0" * (9000 if spoil == "falsify" else 1))
    restore(postgres, place, dumped)
    with contentdb.open(place) as store:
        assert store.adopt() == (1, 0)
        store.prune(older_than=0)
        assert store.read(digest(1)) == content(1)
        (new,) = blob_files(tmp_path)
        assert new.name != old.name


def test_a_found_object_is_not_needed_beside_a_good_one(
    postgres: Postgres, place: str, tmp_path: Path
) -> None:
    add(place, 1)
    (old,) = blob_files(tmp_path)
    dumped = dump(place)
    with contentdb.open(place) as store:
        store.delete(digest(1))
    add(place, 1)
    assert len(blob_files(tmp_path)) == 2
    restore(postgres, place, dumped)
    with contentdb.open(place) as store:
        assert store.adopt() == (1, 0)
        store.prune(older_than=0)
        assert store.read(digest(1)) == content(1)
    assert blob_files(tmp_path) == [old]


def test_a_found_object_stays_where_the_good_one_goes_meanwhile(
    postgres: Postgres, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The good one's key goes to the trash while its row is waited for, and never comes back."""
    add(place, 1)
    dumped = dump(place)
    with contentdb.open(place) as store:
        store.delete(digest(1))
    add(place, 1)
    restore(postgres, place, dumped)
    with contentdb.open(place) as store, psycopg.connect(place) as other:

        def delete(resources: Resources, found: contentdb.Digest) -> StoredObject | None:
            own = examine(resources, found)
            take_out(other, "default", [str(found)])
            Thread(target=commit_when_waited_for, args=[place, other]).start()
            return own

        monkeypatch.setattr("contentdb.cluster.upkeep.adopt.examine", delete)
        assert store.adopt() == (1, 0)
        store.prune(older_than=0)
        assert store.read(digest(1)) == content(1)


def test_an_object_that_another_reindex_found_and_a_delete_trashed_stays_gone(
    postgres: Postgres, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its key is in no row when it is found; it gets one, which goes while it is waited for."""
    with contentdb.open(place):
        dumped = dump(place)
    add(place, 1)
    restore(postgres, place, dumped)
    with contentdb.open(place) as store, psycopg.connect(place) as other:

        def meanwhile(resources: Resources, found: contentdb.Digest) -> StoredObject | None:
            own = examine(resources, found)
            monkeypatch.undo()
            assert own is None
            assert store.adopt() == (1, 0)
            take_out(other, "default", [str(found)])
            Thread(target=commit_when_waited_for, args=[place, other]).start()
            return own

        monkeypatch.setattr("contentdb.cluster.upkeep.adopt.examine", meanwhile)
        assert adopt(resources_of(store), "default", dry_run=False) == (0, 0)
        assert not store.exists(digest(1))
        store.prune(older_than=0)
        assert list(store.verify()) == []


def test_two_reindexes_at_once_keep_what_they_find(
    postgres: Postgres, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one finds the first one's rows, of the very objects that it has found too."""
    with contentdb.open(place):
        dumped = dump(place)
    add(place, 1, 2)
    restore(postgres, place, dumped)
    with contentdb.open(place) as store:

        def meanwhile(resources: Resources, found: contentdb.Digest) -> StoredObject | None:
            monkeypatch.undo()
            assert store.adopt() == (2, 0)
            return examine(resources, found)

        monkeypatch.setattr("contentdb.cluster.upkeep.adopt.examine", meanwhile)
        assert adopt(resources_of(store), "default", dry_run=False) == (2, 0)
        store.prune(older_than=0)
        assert store.read(digest(1)) == content(1)
        assert store.read(digest(2)) == content(2)


def test_a_reindex_that_a_prune_took_for_dead_goes_on(
    postgres: Postgres, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contentdb.open(place):
        dumped = dump(place)
    add(place, 1, 2)
    restore(postgres, place, dumped)
    with contentdb.open(place) as store:

        def fence(resources: Resources, found: contentdb.Digest) -> StoredObject | None:
            resources.database.change("UPDATE sessions SET fenced = true")
            monkeypatch.undo()
            return examine(resources, found)

        store.add(b"begins the session")
        monkeypatch.setattr("contentdb.cluster.upkeep.adopt.examine", fence)
        assert store.adopt() == (2, 0)
        assert store.read(digest(1)) == content(1)
        assert store.read(digest(2)) == content(2)


def commit_when_waited_for(place: str, connection: psycopg.Connection[Any]) -> None:
    with psycopg.connect(place, autocommit=True) as watcher:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if watcher.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone():
                break
            time.sleep(0.01)
        connection.commit()


def test_manifests_that_share_objects_keep_them(
    postgres: Postgres, place: str, tmp_path: Path
) -> None:
    """A commit that was cut off has left a manifest of the same segments."""
    dumped = dump(place)
    with contentdb.open(place) as store:
        info = store.add(LONG)
    (manifest,) = blob_files(tmp_path)
    name, _, number = manifest.name.removesuffix(".m").rpartition(".")
    manifest.with_name(f"{name}.{int(number) + 1}.m").write_bytes(manifest.read_bytes())
    restore(postgres, place, dumped)
    with contentdb.open(place) as store:
        assert store.adopt() == (2, 0)
        store.prune(older_than=0)
        assert store.read(info.digest) == LONG
    assert len(blob_files(tmp_path)) == 1
