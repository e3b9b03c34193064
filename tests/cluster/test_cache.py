"""Reads through a store on files of this host: fetched once, verified, never of what is gone."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

import contentdb
from contentdb.cluster import cache as module
from contentdb.cluster.mark import KEY as MARK
from contentdb.errors import CorruptBlobError, InvalidArgumentError
from contentdb.store.open_cluster import CACHE_BYTES
from tests.cluster.test_commands import run
from tests.cluster.test_damage import object_files, spoil
from tests.inside import blob_path, resources_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from contentdb.cluster.objects import Bucket

ONE = b"an object" * 1000
LONG = b"segments" * (2 << 20)
SMALL = b"in its row"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def cached(place: str, folder: Path) -> Iterator[contentdb.Store]:
    with contentdb.open(place, cache=folder) as store:
        yield store


@pytest.fixture
def asked(cached: contentdb.Store, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of the objects that were read."""
    bucket: Bucket = resources_of(cached).bucket
    keys: list[str] = []
    get = bucket.get

    def noted(key: str, offset: int, size: int) -> bytes | None:
        keys.append(key)
        return get(key, offset, size)

    monkeypatch.setattr(bucket, "get", noted)
    return keys


def by_open(store: contentdb.Store, digest: str) -> bytes:
    with store.open(digest) as reader:
        return reader.read()


def by_export(store: contentdb.Store, digest: str) -> bytes:
    target = store.export(digest, f"{os.environ['PYTEST_OUT']}/out")
    return target.read_bytes()


READS: dict[str, Callable[[contentdb.Store, str], bytes]] = {
    "read": lambda store, digest: store.read(digest),
    "open": by_open,
    "export": by_export,
    "path": lambda store, digest: store.path(digest).read_bytes(),
}


@pytest.fixture(autouse=True)
def _out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_OUT", str(tmp_path))


@pytest.mark.parametrize("how", READS)
@pytest.mark.parametrize("data", [ONE, LONG], ids=["object", "segments"])
def test_a_second_read_asks_the_database_alone(
    cached: contentdb.Store, asked: list[str], how: str, data: bytes
) -> None:
    """4.1b: also by another way, and in another process."""
    digest = cached.add(data).digest
    assert READS[how](cached, digest) == data
    assert asked
    asked.clear()
    for again in READS.values():
        assert again(cached, digest) == data
    assert asked == []


def test_small_blobs_come_with_their_rows(cached: contentdb.Store, folder: Path) -> None:
    """And are copied for a path alone."""
    digest = cached.add(SMALL).digest
    assert cached.read(digest) == by_open(cached, digest) == by_export(cached, digest) == SMALL
    with contentdb.open(folder) as files:
        assert files.usage().blobs == 0
        assert cached.path(digest).read_bytes() == SMALL
        assert files.usage().blobs == 1


def test_a_deleted_blob_is_not_served(cached: contentdb.Store, place: str, folder: Path) -> None:
    """4.1b: nor one that the namespace does not have."""
    digest = cached.add(ONE).digest
    assert cached.read(digest) == ONE
    with contentdb.open(place, namespace="other", cache=folder) as other:
        for how in READS.values():
            with pytest.raises(contentdb.NotFoundError):
                how(other, digest)
    with cached.open(digest) as reader:
        with contentdb.open(place) as another:
            another.delete(digest)
            another.prune(older_than=0)
        for how in READS.values():
            with pytest.raises(contentdb.NotFoundError):
                how(cached, digest)
        assert reader.read() == ONE  # it was open before


@pytest.mark.parametrize("how", ["read", "export"])
@pytest.mark.parametrize("harm", ["altered", "truncated", "removed"])
def test_a_damaged_copy_is_fetched_again(
    cached: contentdb.Store, folder: Path, harm: str, how: str
) -> None:
    """4.1b: in the same call."""
    digest = cached.add(ONE).digest
    cached.read(digest)
    damage_copy(blob_path(folder, digest), harm)
    assert READS[how](cached, digest) == ONE
    assert blob_path(folder, digest).read_bytes() == ONE
    assert list(cached.verify()) == []


def damage_copy(path: Path, harm: str) -> None:
    path.chmod(0o644)
    if harm == "removed":
        path.unlink()
    else:
        path.write_bytes(b"spoilt" + ONE[6:] if harm == "altered" else ONE[:-1])
        path.chmod(0o444)


def test_a_reader_finds_a_damaged_copy_at_its_end(cached: contentdb.Store, folder: Path) -> None:
    """4.1b: it has given bytes away, so it cannot but raise; the next one gets another copy."""
    digest = cached.add(ONE).digest
    cached.read(digest)
    damage_copy(blob_path(folder, digest), "altered")
    with cached.open(digest) as reader, pytest.raises(CorruptBlobError, match="cache"):
        reader.read()
    assert by_open(cached, digest) == ONE
    assert cached.info(digest).size == len(ONE)  # the store's own blob was never marked


def test_a_damaged_object_does_not_get_into_the_cache(
    cached: contentdb.Store, folder: Path, tmp_path: Path
) -> None:
    digest = cached.add(ONE).digest
    spoil(tmp_path)
    for how in READS.values():
        with pytest.raises(CorruptBlobError, match="blobs/sha256"):
            how(cached, digest)
    with contentdb.open(folder) as files:
        assert files.usage() == (0, 0, 0, 0)
    cached.add(ONE)
    assert cached.read(digest) == ONE


def test_several_that_miss_at_once_fetch_once(
    cached: contentdb.Store, asked: list[str], place: str, folder: Path
) -> None:
    """4.1b: threads here, and a process."""
    digest = cached.add(ONE).digest
    barrier = threading.Barrier(8)
    got: list[bytes] = []

    def read() -> None:
        barrier.wait()
        got.append(cached.read(digest))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [ONE] * 8
    assert len(asked) == 1
    said = run("--root", place, "--cache", folder, "cat", digest)
    assert said == ONE.decode()


def test_one_that_waits_too_long_reads_without_the_cache(
    cached: contentdb.Store, asked: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that stands still in the midst of a fetch holds up no reads of others."""
    digest = cached.add(ONE).digest
    monkeypatch.setattr(module, "_WAIT_S", 0)
    with contentdb.open(folder) as files, files.writer(digest):
        assert cached.read(digest) == by_open(cached, digest) == by_export(cached, digest) == ONE
    assert len(asked) == 3


def test_a_fetch_that_was_cut_off_goes_on(
    cached: contentdb.Store, asked: list[str], folder: Path
) -> None:
    """Where a killed process left it; if its bytes were wrong, from the start."""
    digest = cached.add(LONG).digest
    for kept in (LONG[: 9 << 20], b"wrong" + LONG[5 : 9 << 20]):
        with contentdb.open(folder) as files:
            files.delete_many([digest], missing_ok=True)
            with files.writer(digest) as writer:
                writer.write(kept)
        asked.clear()
        assert cached.read(digest) == LONG
        assert asked
    assert len({key for key in asked if key.endswith("00000000")}) == 1  # the second time


def test_parts_of_a_long_blob_are_read_as_they_are(
    cached: contentdb.Store, asked: list[str], folder: Path
) -> None:
    """Whoever does not verify reads a part; but a copy that is there is used."""
    digest = cached.add(LONG).digest
    with cached.open(digest, verify=False) as reader:
        reader.seek(-8, os.SEEK_END)
        assert reader.read() == b"segments"
    with contentdb.open(folder) as files:
        assert not files.exists(digest)
    cached.read(digest)
    asked.clear()
    with cached.open(digest, verify=False) as reader:
        assert reader.read(8) == b"segments"
    assert asked == []


def test_a_cache_keeps_its_bound(cached: contentdb.Store, folder: Path) -> None:
    """4.1b: what was not used for longest goes; a larger blob is read without the cache."""
    with contentdb.open(folder) as files:
        policy = files.policy()
        assert policy is not None
        assert (policy.max_bytes, policy.grace) == (CACHE_BYTES, timedelta(0))
        files.set_policy(max_bytes=100_000, grace=timedelta(0))
        contents = [bytes([number]) * 30_000 for number in range(10)]
        digests = [cached.add(data).digest for data in contents]
        for _ in range(2):
            assert [cached.read(digest) for digest in digests] == contents
            assert 0 < files.usage().blob_bytes <= 100_000
        large = cached.add(LONG)
        assert cached.read(large.digest) == by_open(cached, large.digest) == LONG
        assert by_export(cached, large.digest) == LONG
        assert not files.exists(large.digest)
        with pytest.raises(contentdb.QuotaExceededError):
            cached.path(large.digest)


def test_a_cache_that_fails_is_done_without(
    cached: contentdb.Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = cached.add(ONE).digest

    def fail(*_given: object, **_named: object) -> None:
        raise contentdb.StorageError("write", str(folder), OSError(28, "No space left on device"))

    cache = cached._engine._cache  # type: ignore[attr-defined]
    for name in ("ingest", "read", "open", "export"):
        monkeypatch.setattr(cache.files, name, fail)
    assert cached.read(digest) == by_open(cached, digest) == by_export(cached, digest) == ONE
    assert list(object_files(folder.parent))


def test_hard_links_are_of_the_cache_s_file(
    cached: contentdb.Store, folder: Path, tmp_path: Path
) -> None:
    """4.1b: also of a small blob."""
    for number, data in enumerate((ONE, SMALL)):
        digest = cached.add(data).digest
        target = cached.export(digest, tmp_path / f"link{number}", link="hardlink")
        assert target.samefile(blob_path(folder, digest))
        assert target.read_bytes() == data
        assert target.stat().st_mode & 0o333 == 0


def test_an_error_of_the_target_is_told(cached: contentdb.Store, tmp_path: Path) -> None:
    digest = cached.add(ONE).digest
    with pytest.raises(contentdb.StorageError):
        cached.export(digest, tmp_path / "no" / "such" / "folder")
    with pytest.raises(contentdb.ContentDBError):
        cached.export(digest, tmp_path)


def test_what_is_no_cache_is_refused(place: str, tmp_path: Path, database: str) -> None:
    """4.1b: a store without a bound, in which somebody stores, would grow for ever."""
    with contentdb.open(tmp_path / "store") as store:
        store.add(b"content")
    with pytest.raises(InvalidArgumentError, match="policy set --max-bytes"):
        contentdb.open(place, cache=tmp_path / "store")
    with pytest.raises(InvalidArgumentError, match="not a database"):
        contentdb.open(place, cache=database)
    with pytest.raises(InvalidArgumentError, match="for a store in a database"):
        contentdb.open(tmp_path / "store", cache=tmp_path / "cache")
    with contentdb.open(tmp_path / "store") as store:
        store.set_policy(max_bytes=1 << 20)
        digest = store.add(b"content").digest
    with contentdb.open(place, cache=tmp_path / "store") as cached, pytest.raises(LookupError):
        cached.read(digest)  # the cache never says what is stored


def test_a_copy_of_the_store_has_the_cache(cached: contentdb.Store, folder: Path) -> None:
    digest = cached.add(ONE).digest
    with pickle.loads(pickle.dumps(cached)) as copy:  # noqa: S301 - made here
        assert copy.path(digest).is_relative_to(folder)


def test_a_store_without_one_has_no_paths(store: contentdb.Store) -> None:
    digest = store.add(ONE).digest
    with pytest.raises(contentdb.FailedPreconditionError, match="has no path"):
        store.path(digest)


def test_the_commands(place: str, folder: Path, tmp_path: Path) -> None:
    """By the option, and by the variable, which commands at other stores leave alone."""
    with contentdb.open(place) as store:
        digest = store.add(ONE).digest
    found = run("--root", place, "--cache", folder, "path", "-q", digest).strip()
    assert found == str(blob_path(folder, digest))
    environment = os.environ | {"CONTENTDB_CACHE": str(folder)}
    for root, code in ((place, 0), (tmp_path / "none", 4)):
        done = subprocess.run(
            [sys.executable, "-m", "contentdb", "--root", str(root), "path", "--json", digest],
            env=environment,
            capture_output=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
        if not code:
            assert json.loads(done.stdout)["path"] == found
    assert "--cache" in run("--root", tmp_path / "none", "--cache", folder, "ls", code=2)
    assert "--cache" in run("--root", place, "--cache", "", "ls", code=2)


def test_what_is_deleted_and_pruned_before_it_is_read_is_not_there(
    cached: contentdb.Store, place: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not damaged; and nothing of it stays on its way into the cache."""
    digest = cached.add(LONG).digest
    get = resources_of(cached).bucket.get
    with contentdb.open(place) as other:

        def delete_first(*where: Any) -> bytes | None:  # noqa: ANN401 - as of the bucket
            if where[0] != MARK:  # which a prune reads itself
                other.delete_many([digest], missing_ok=True)
                other.prune(older_than=0)
            return get(*where)

        monkeypatch.setattr(resources_of(cached).bucket, "get", delete_first)
        with pytest.raises(contentdb.NotFoundError):
            cached.read(digest)
    with contentdb.open(folder) as files:
        assert list(files.statuses()) == []


def test_commands_under_a_lease_have_its_cache(place: str, folder: Path) -> None:
    with contentdb.open(place) as store:
        digest = store.add(ONE).digest
    script = f"cd /; {sys.executable} -m contentdb path {digest}"
    at = os.path.relpath(folder)
    told = run("--root", place, "--cache", at, "lease", "run", "sh", "-c", script)
    assert told.split()[-1] == str(blob_path(folder, digest))
