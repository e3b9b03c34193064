"""A store in PostgreSQL and an object store keeps the contract: on files, SeaweedFS and rclone."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import pytest

import contentdb
from contentdb.cluster.objects import Bucket
from contentdb.testing import ContentSuite
from tests.cluster.fixtures import place_for_objects
from tests.inside import resources_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from contentdb.testing import Damage, Harm
    from tests.cluster.servers import Postgres, Rclone, SeaweedFS


class Where(NamedTuple):
    """A database, and a place for its objects."""

    url: str
    objects: str
    endpoint: str | None
    cache: Path | None = None

    def open(self, *, other_process: bool = False) -> contentdb.Store:
        """Open the store; another address of the same database shares nothing with the first."""
        url = f"{self.url}?application_name=other" if other_process else self.url
        return contentdb.open(url, objects=self.objects, endpoint=self.endpoint, cache=self.cache)


def spoil_object(
    where: Where, store: contentdb.Store, digest: contentdb.Digest, harm: Harm
) -> None:
    """Change the object of a blob, cut it off, or remove it."""
    database = resources_of(store).database
    ((key, runs),) = database.rows(
        "SELECT key, runs FROM objects WHERE digest = %(digest)s", {"digest": str(digest)}
    )
    assert runs is None
    bucket = Bucket(where.objects, where.endpoint)
    size = bucket.size(key)
    assert size is not None
    data = bucket.get(key, 0, size)
    assert data is not None
    bucket.delete([key])
    if harm == "altered":
        bucket.put(key, data[: size // 2] + b"spoilt" + data[size // 2 + 6 :])
    elif harm == "truncated":
        bucket.put(key, data[: size // 2])


EMPTY = "TRUNCATE blobs, objects, ingests, tags, trash, sessions, leases, lease_items, queue"


@pytest.fixture(scope="module")
def on_files(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Where:
    """One database for all tests, which is much faster than one for each."""
    folder = tmp_path_factory.mktemp("objects")
    return Where(postgres.create_database(), f"file://{folder}", None)


@pytest.fixture(scope="module")
def on_seaweed(postgres: Postgres, seaweed: SeaweedFS) -> Where:
    return Where(postgres.create_database(), *place_for_objects(seaweed))


@pytest.fixture(scope="module")
def on_rclone(postgres: Postgres, rclone: Rclone) -> Where:
    return Where(postgres.create_database(), *place_for_objects(rclone))


@pytest.fixture(scope="module")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all tests: what an earlier one has left in it is served to none."""
    return tmp_path_factory.mktemp("cache") / "files"


class TestOnFiles(ContentSuite):
    """PostgreSQL, and objects as files."""

    has_paths = False
    has_tags = True
    has_leases = True
    has_collections = True

    @pytest.fixture
    def where(self, on_files: Where) -> Where:
        return on_files

    @pytest.fixture
    def store(self, where: Where) -> Iterator[contentdb.Store]:
        """A store without rows."""
        with where.open() as store:
            resources_of(store).database.change(EMPTY)
            yield store

    @pytest.fixture
    def second(self, where: Where, store: contentdb.Store) -> Iterator[contentdb.Store]:  # noqa: ARG002 - it is made first
        """Another handle, as another process would open it."""
        with where.open(other_process=True) as second:
            yield second

    @pytest.fixture
    def damage(self, where: Where, store: contentdb.Store) -> Damage:
        """Spoil the object of a blob."""

        return partial(spoil_object, where, store)


class TestOneHandle(TestOnFiles):
    """Threads of one process that share one handle."""

    @pytest.fixture
    def second(self, store: contentdb.Store) -> contentdb.Store:
        """The same handle."""
        return store


class TestWithCache(TestOnFiles):
    """Objects as files, read through a store on files of this host."""

    has_paths = True

    @pytest.fixture
    def where(self, on_files: Where, cache_folder: Path) -> Where:
        return on_files._replace(cache=cache_folder)

    @pytest.fixture
    def damage(self, where: Where, store: contentdb.Store, cache_folder: Path) -> Damage:
        """Spoil the object of a blob, of which the cache has no copy."""

        def spoil(digest: contentdb.Digest, harm: Harm) -> None:
            with contentdb.open(cache_folder) as files:
                files.delete_many([digest], missing_ok=True)
            spoil_object(where, store, digest, harm)

        return spoil


class TestOnSeaweed(TestOnFiles):
    """Objects in SeaweedFS."""

    @pytest.fixture
    def where(self, on_seaweed: Where, s3_keys: None) -> Where:  # noqa: ARG002 - the server wants them
        return on_seaweed


class TestOnRclone(TestOnSeaweed):
    """Objects behind ``rclone serve s3``, which knows no conditions and no checksums."""

    @pytest.fixture
    def where(self, on_rclone: Where, s3_keys: None) -> Where:  # noqa: ARG002 - the server wants them
        return on_rclone
