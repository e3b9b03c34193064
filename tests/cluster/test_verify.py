"""Verify tells each difference between rows and objects, and nothing else; repair acts on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import contentdb
from contentdb.cluster.catalog import audit
from contentdb.cluster.upkeep import verify as module
from contentdb.errors import CorruptBlobError, NotAStoreError, StorageError
from tests.cluster.test_damage import object_files, spoil
from tests.cluster.test_session import holding
from tests.inside import resources_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from contentdb.cluster.sql import Database

ONE = b"an object" * 1000
LONG = b"segments" * (2 << 20)
"""Two segments, and a manifest."""


@pytest.fixture(params=["at once", "in ranges"], autouse=True)
def ranges(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All objects of an algorithm are listed at once, or in 256 ranges."""
    if request.param == "in ranges":
        monkeypatch.setattr(module, "_FEW", 1)


def kinds(findings: Iterator[contentdb.Finding]) -> list[tuple[str, str | None]]:
    return sorted((one.kind, one.digest) for one in findings)


def actions(store: contentdb.Store, *, quick: bool = False, dry_run: bool = False) -> list[str]:
    findings = store.verify(quick=quick)
    return [one.action for one in contentdb.repair(store, findings, dry_run=dry_run)]


def test_a_whole_store_has_no_findings(store: contentdb.Store, place: str) -> None:
    for data in (b"small", b"", ONE, LONG):
        store.add(data)
    with contentdb.open(place, namespace="other") as other:
        other.add(b"of another namespace" * 1000)
    store.delete(store.add(b"thrown away" * 2000).digest)  # in the trash
    with store.writer("open") as writer:
        writer.write(LONG)
        assert list(store.verify()) == []
    assert list(store.verify(quick=True)) == []


@pytest.mark.parametrize("data", [ONE, LONG], ids=["object", "segments"])
def test_altered_bytes_are_found_by_reading_alone(
    store: contentdb.Store, tmp_path: Path, data: bytes
) -> None:
    """And marked by repair; the content heals the blob when it is stored again."""
    digest = store.add(data).digest
    spoil(tmp_path)
    assert list(store.verify(quick=True)) == []
    assert kinds(store.verify()) == [("corrupt", digest)]
    assert actions(store, dry_run=True) == ["marked as damaged"]
    assert store.exists(digest)
    assert actions(store) == ["marked as damaged"]
    assert not store.exists(digest)
    assert kinds(store.verify(quick=True)) == [("corrupt", digest)]  # what is marked is read
    store.add(data)
    assert [one for one in store.verify() if one.kind == "corrupt"] == []
    assert store.read(digest) == data


@pytest.mark.parametrize("data", [ONE, LONG], ids=["object", "segments"])
def test_sizes_and_missing_objects_are_found_without_reading(
    store: contentdb.Store, tmp_path: Path, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = store.add(data).digest
    (file, *_) = object_files(tmp_path)
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    with monkeypatch.context() as patch:
        patch.setattr(module, "fetch", None)
        assert kinds(store.verify(quick=True)) == [("corrupt", digest)]
        file.unlink()
        assert kinds(store.verify(quick=True)) == [("missing", digest)]
    assert actions(store, quick=True, dry_run=True) == ["marked as missing"]
    assert actions(store, quick=True) == ["marked as missing"]
    with pytest.raises(CorruptBlobError):
        store.info(digest)
    file.write_bytes(whole)  # it came back
    assert kinds(store.verify(quick=True)) == [("orphan", digest)]
    assert actions(store, quick=True) == ["adopted"]
    assert store.info(digest).digest == digest


def test_bytes_in_the_row(store: contentdb.Store) -> None:
    digest = store.add(b"small").digest
    resources_of(store).database.change("UPDATE objects SET inline = 'spoil'::bytea")
    assert list(store.verify(quick=True)) == []
    assert kinds(store.verify()) == [("corrupt", digest)]
    resources_of(store).database.change("UPDATE objects SET inline = 'spo'::bytea")
    assert kinds(store.verify(quick=True)) == [("corrupt", digest)]
    assert actions(store) == ["marked as damaged"]


def test_a_manifest_is_written_again(store: contentdb.Store, tmp_path: Path) -> None:
    """The blob is whole without it, but a reindex would not find it."""
    digest = store.add(LONG).digest
    (manifest,) = (tmp_path / "objects").rglob("*.m")
    text = manifest.read_bytes()
    manifest.unlink()
    assert kinds(store.verify(quick=True)) == [("missing", digest)]
    assert actions(store, quick=True, dry_run=True) == ["written again"]
    assert not manifest.exists()
    assert actions(store, quick=True) == ["written again"]
    assert manifest.read_bytes() == text
    assert store.exists(digest)
    assert list(store.verify()) == []


def test_orphans_of_the_dead_alone_are_told(store: contentdb.Store, place: str) -> None:
    """One of a live process may be about to get its row. Repair leaves them to prune."""
    bucket = resources_of(store).bucket
    with holding(place, "r", 20 << 20) as process:
        ((session,),) = resources_of(store).database.rows("SELECT session FROM ingests")
        lost = f"blobs/sha256/aa/{'aa' * 32}.{session}.77"
        bucket.put(lost, b"not recorded")
        bucket.put(f"parts/{session}.9/00000000", b"not listed")
        assert list(store.verify()) == []
        process.kill()
        process.wait()
        with store.writer("r", resume=True, wait=60):  # by now its lock is free
            found = list(store.verify())
    assert lost in {one.path for one in found}
    assert {one.kind for one in found} == {"orphan"}
    assert all("contentdb prune" in one.detail for one in found)
    assert {one.action for one in contentdb.repair(store, found)} == {"left alone"}
    store.prune(older_than=0)
    assert list(store.verify()) == []


def test_what_has_no_place_in_a_store(store: contentdb.Store) -> None:
    bucket = resources_of(store).bucket
    for key in ("stray", "folder/stray", "blobs/sha256/aa/stray", "parts/stray"):
        bucket.put(key, b"stray")
    bucket.put(f"blobs/sha256/aa/{'aa' * 32}.12345.1", b"of a session that nobody knows")
    found = {one.path: one for one in store.verify(quick=True)}
    assert set(found) == {
        "stray", "folder/", "blobs/sha256/aa/stray", "parts/stray",
        f"blobs/sha256/aa/{'aa' * 32}.12345.1",
    }  # fmt: skip
    assert {one.kind for one in found.values()} == {"orphan"}
    assert {one.action for one in contentdb.repair(store, found.values())} == {"left alone"}


def test_a_bucket_that_is_away_is_an_error(store: contentdb.Store, tmp_path: Path) -> None:
    """Nothing is told of single blobs, and no row is marked."""
    digest = store.add(ONE).digest
    steps = store.verify()
    objects = tmp_path / "objects"
    objects.rename(tmp_path / "away")
    objects.mkdir()
    with pytest.raises((NotAStoreError, StorageError)):
        list(steps)
    objects.rmdir()
    (tmp_path / "away").rename(objects)
    assert store.read(digest) == ONE


@pytest.mark.parametrize("act", ["add", "delete", "heal"])
def test_what_others_do_meanwhile_is_no_finding(
    store: contentdb.Store, place: str, tmp_path: Path, act: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the list of objects and the rows."""
    digest = store.add(ONE).digest
    if act == "heal":
        spoil(tmp_path)
        contentdb.repair(store, list(store.verify()))
    acted: list[bool] = []

    def pages(
        database: Database, first: str, behind: str, *, with_bytes: bool
    ) -> Iterator[list[audit.Row]]:
        if not acted:
            acted.append(True)
            with contentdb.open(f"{place}?application_name=other") as other:
                if act == "add":
                    other.add(b"new" * 5000)
                elif act == "delete":
                    other.delete(digest)
                else:
                    other.add(ONE)
        return audit_pages(database, first, behind, with_bytes=with_bytes)

    audit_pages = audit.pages
    monkeypatch.setattr(audit, "pages", pages)
    assert list(store.verify()) == []
    assert acted
    monkeypatch.undo()
    assert list(store.verify()) == []


@pytest.mark.parametrize("how", ["quick", "full"])
@pytest.mark.parametrize("data", [ONE, LONG], ids=["object", "segments"])
def test_what_is_deleted_and_pruned_meanwhile_is_no_finding(
    store: contentdb.Store, place: str, data: bytes, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the rows and a look at their objects."""
    digest = store.add(data).digest

    def pages(
        database: Database, first: str, behind: str, *, with_bytes: bool
    ) -> Iterator[list[audit.Row]]:
        for page in audit_pages(database, first, behind, with_bytes=with_bytes):
            with contentdb.open(f"{place}?application_name=other") as other:
                other.delete(digest)
                other.prune(older_than=0)
            yield page

    audit_pages = audit.pages
    monkeypatch.setattr(audit, "pages", pages)
    assert list(store.verify(quick=how == "quick")) == []
    assert not store.exists(digest)


def test_a_page_is_not_all(store: contentdb.Store) -> None:
    """More rows than one page, and more objects than are looked up at once."""
    infos = list(store.add_many(f"{number}".encode() for number in range(1100)))
    assert list(store.verify()) == []
    database = resources_of(store).database
    database.change(
        "UPDATE objects SET inline = 'x'::bytea WHERE digest = %(digest)s",
        {"digest": max(info.digest for info in infos)},
    )
    assert [one.kind for one in store.verify()] == ["corrupt"]
