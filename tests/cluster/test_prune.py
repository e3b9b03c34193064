"""Prune removes what nothing names, and nothing else, while others write."""

from __future__ import annotations

import io

import pytest

import contentdb
from contentdb.errors import CorruptBlobError, InvalidArgumentError, StoreError
from tests.cluster.test_session import holding
from tests.inside import resources_of

BIG = bytes(range(256)) * 4096 * 20  # three segments


def keys(store: contentdb.Store) -> set[str]:
    bucket = resources_of(store).bucket
    return {one.key for prefix in ("blobs/", "parts/") for one in bucket.list(prefix)}


def test_the_objects_of_deleted_blobs_go(store: contentdb.Store) -> None:
    kept = store.add(b"k" * 10_000)
    gone = [store.add(b"g" * 10_000), store.add(BIG), store.add(b"small")]
    before = keys(store)
    assert len(before) == 2 + 3 + 1  # two objects, three segments, a manifest
    store.delete_many(info.digest for info in gone)
    assert keys(store) == before
    assert store.prune(older_than=3600) == []
    done = store.prune(older_than=0, dry_run=True)
    assert {one.kind for one in done} == {"trash"}
    assert keys(store) == before
    assert store.prune(older_than=0) == done
    assert len(keys(store)) == 1
    assert store.read(kept.digest) == b"k" * 10_000
    assert store.prune(older_than=0) == []


def test_an_open_reader_goes_on_until_a_prune(store: contentdb.Store) -> None:
    digest = store.add(BIG).digest
    with store.open(digest) as reader:
        store.delete(digest)
        assert reader.read(10) == BIG[:10]
        store.prune(older_than=3600)
        assert reader.read() == BIG[10:]
    with pytest.raises(contentdb.NotFoundError):
        store.read(digest)


def test_ingests_that_no_writer_holds_go(store: contentdb.Store) -> None:
    with store.writer("left") as writer:
        writer.write(BIG)
    with store.writer("held") as held:
        held.write(BIG)
        done = store.prune(older_than=0)
        assert [(one.kind, one.name) for one in done if one.kind == "ingest"] == [
            ("ingest", "left")
        ]
        store.prune(older_than=0)
        assert [status.ref for status in store.statuses()] == ["held"]
        assert store.read(held.commit().digest) == BIG


def test_orphans_of_a_killed_process_go(store: contentdb.Store, place: str) -> None:
    """Those of one that lives stay, and what its ingest lists."""
    with holding(place, "r", 40 << 20) as process:
        bucket = resources_of(store).bucket
        ((dead,),) = resources_of(store).database.rows("SELECT session FROM ingests")
        bucket.put(f"parts/{dead}.1/00000099", b"not listed")
        bucket.put(f"blobs/sha256/aa/{'aa' * 32}.{dead}.77", b"not recorded")
        before = keys(store)
        assert store.prune(older_than=3600) == []
        assert keys(store) == before
        process.kill()
        process.wait()
    done = store.prune(older_than=0, dry_run=True)
    assert {one.kind for one in done} >= {"ingest", "orphan"}
    with store.writer("r", resume=True, wait=60) as writer:
        offset = writer.offset
        names = {one.path.rpartition("objects/")[2] for one in store.prune(older_than=0)}
        assert {f"parts/{dead}.1/00000099", f"blobs/sha256/aa/{'aa' * 32}.{dead}.77"} <= names
        writer.write(b"x" * ((40 << 20) - offset))
        assert store.read(writer.commit().digest) == b"x" * (40 << 20)


def test_objects_of_an_unknown_session_stay(store: contentdb.Store) -> None:
    """The database may have been restored: they may be of blobs that it does not know."""
    key = f"blobs/sha256/aa/{'aa' * 32}.12345.1"
    resources_of(store).bucket.put(key, b"of a newer life")
    assert store.prune(older_than=0) == []
    assert keys(store) == {key}


def test_a_restored_database_removes_nothing(place: str, store: contentdb.Store) -> None:
    store.delete(store.add(b"c" * 10_000).digest)
    resources_of(store).database.change("UPDATE meta SET timeline = timeline + 1")
    with contentdb.open(f"{place}?application_name=later") as later:
        with pytest.raises(StoreError, match="restored, copied or failed over"):
            later.prune(older_than=0)
        assert len(keys(later)) == 1


def test_what_lost_a_race_goes(store: contentdb.Store, place: str) -> None:
    """Two that store one content at once: one object stays."""
    with contentdb.open(f"{place}?application_name=other") as other:
        one, two = (store.writer("a"), other.writer("b"))
        for writer in (one, two):
            writer.write(b"c" * 10_000)
        first = one.commit()
        (key,) = keys(store)
        resources_of(store).bucket.put(key, b"x" * 10_000)
        resources_of(store).database.change("UPDATE objects SET damaged = true")
        second = two.commit()  # it heals, and the first object is needed no more
        assert (first.new, second.new) == (True, False)
        assert len(keys(store)) == 2
        store.prune(older_than=0)
        assert len(keys(store)) == 1
        assert store.read(first.digest) == b"c" * 10_000


def test_a_cut_ingest_leaves_nothing(store: contentdb.Store) -> None:
    """Starting over and resuming with other content put the old objects into the trash."""
    with store.writer("r") as writer:
        writer.write(BIG)
    with store.writer("r") as writer:
        writer.write(BIG[: 9 << 20])
        writer.truncate()
        writer.write(b"other")
        digest = writer.commit().digest
    assert store.read(digest) == b"other"
    store.prune(older_than=0)
    assert keys(store) == set()


def test_what_is_stored_already_leaves_nothing(store: contentdb.Store) -> None:
    """Large content is written before its digest is known."""
    stored = store.add(BIG)
    before = keys(store)
    assert not store.add(io.BytesIO(BIG)).new
    assert [one.new for one in store.add_many([io.BytesIO(BIG), io.BytesIO(BIG)])] == [False] * 2
    with pytest.raises(contentdb.DigestMismatchError):
        store.add(io.BytesIO(BIG + b"more"), expected=contentdb.Digest.of(b"other"))
    with store.writer("r") as writer:
        writer.write(BIG)
        assert writer.commit() == stored
    assert keys(store) > before
    store.prune(older_than=0)
    assert keys(store) == before


@pytest.mark.parametrize("age", [-1, float("nan"), "1d"])
def test_bad_ages_are_refused(store: contentdb.Store, age: float) -> None:
    with pytest.raises(InvalidArgumentError, match="age"):
        store.prune(older_than=age)


def test_a_lost_object_is_damage(store: contentdb.Store) -> None:
    info = store.add(BIG)
    resources = resources_of(store)
    resources.bucket.delete([one.key for one in list(resources.bucket.list("parts/"))[:1]])
    with pytest.raises(CorruptBlobError, match="gone or cut off"):
        store.read(info.digest)
    assert not store.exists(info.digest)
    assert not store.add(BIG).new
    assert store.read(info.digest) == BIG


def test_a_restored_database_adopts_what_it_does_not_know(
    store: contentdb.Store, place: str
) -> None:
    infos = [store.add(b"c" * 10_000), store.add(BIG)]
    resources = resources_of(store)
    assert store.adopt() == (0, 0)
    resources.bucket.put(f"blobs/sha256/aa/{'aa' * 32}.12345.1", b"not what it says")
    resources.database.change("TRUNCATE blobs, objects, sessions")  # a restore of an older state
    resources.database.change("UPDATE meta SET timeline = timeline + 1")
    with contentdb.open(f"{place}?application_name=later") as later:
        assert later.adopt(dry_run=True) == (2, 1)
        assert list(later.walk()) == []
        assert later.adopt() == (2, 1)
        assert [later.read(info.digest) for info in infos] == [b"c" * 10_000, BIG]
        later.prune(older_than=0)
        assert [later.read(info.digest) for info in infos] == [b"c" * 10_000, BIG]
