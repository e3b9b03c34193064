"""Opening: a database and a bucket that belong together, and nothing else."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import contentdb
from contentdb.cluster.sql import Database
from contentdb.errors import (
    FailedPreconditionError,
    IndexFailedError,
    InvalidArgumentError,
    NewerStoreError,
    NotAStoreError,
    StoreNotFoundError,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.servers import Postgres


def test_an_empty_database_is_no_store(database: str) -> None:
    with pytest.raises(StoreNotFoundError, match="contentdb init"):
        contentdb.open(database)


def test_a_database_that_is_not_there(postgres: Postgres) -> None:
    with pytest.raises(StoreNotFoundError, match="does not exist"):
        contentdb.open(postgres.url("nowhere"))


def test_a_server_that_is_not_there() -> None:
    with pytest.raises(IndexFailedError, match="127"):
        Database("postgresql://127.0.0.1:1/x").connect()


def test_a_database_and_a_bucket_of_two_stores_are_refused(
    postgres: Postgres, tmp_path: Path
) -> None:
    one, other = postgres.create_database(), postgres.create_database()
    contentdb.open(one, objects=f"file://{tmp_path}/one").close()
    with pytest.raises(NotAStoreError, match="holds the objects of store"):
        contentdb.open(other, objects=f"file://{tmp_path}/one")
    contentdb.open(other, objects=f"file://{tmp_path}/other").close()
    (tmp_path / "one" / "contentdb.json").replace(tmp_path / "other" / "contentdb.json")
    with pytest.raises(NotAStoreError, match="do not belong together"):
        contentdb.open(other)
    with pytest.raises(NotAStoreError, match="holds no store"):
        contentdb.open(one)


def test_a_store_keeps_its_objects_where_it_was_made(place: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="keeps its objects at"):
        contentdb.open(place, objects=f"file://{tmp_path}/elsewhere")


@pytest.mark.parametrize("kind", ["a blob", "an ingest"])
def test_a_bucket_that_is_away_is_not_made_anew(place: str, tmp_path: Path, kind: str) -> None:
    """B: what is stored would seem lost, and what is stored then would lie apart from it."""
    data = b"c" * 10_000
    with contentdb.open(place) as store, store.writer("r") as writer:
        writer.write(data)
        if kind == "a blob":
            writer.commit()
    objects = tmp_path / "objects"
    objects.rename(tmp_path / "away")
    for _ in range(2):
        with pytest.raises(NotAStoreError, match="holds no store"):
            contentdb.open(place, objects=f"file://{objects}")
    assert not list(objects.iterdir())
    objects.rmdir()
    (tmp_path / "away").rename(objects)
    with contentdb.open(place, objects=f"file://{objects}") as store:
        if kind == "an ingest":
            store.writer("r", resume=True).commit()
        assert store.read(contentdb.Digest.of(data)) == data


def test_a_store_whose_making_was_cut_off_is_made(place: str, tmp_path: Path) -> None:
    """Its database is there, and the bucket has no mark yet."""
    with contentdb.open(place) as store:
        digest = store.add(b"in its row").digest
    (tmp_path / "objects" / "contentdb.json").unlink()
    with pytest.raises(NotAStoreError, match="holds no store"):
        contentdb.open(place)
    with contentdb.open(place, objects=f"file://{tmp_path}/objects") as store:
        assert store.read(digest) == b"in its row"
    contentdb.open(place).close()


def test_a_newer_store_is_refused(place: str) -> None:
    database = Database(place)
    database.change("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    with pytest.raises(NewerStoreError, match="upgrade contentdb"):
        contentdb.open(place)


def test_a_password_in_the_address_is_refused_and_not_shown() -> None:
    with pytest.raises(InvalidArgumentError, match="PGPASSFILE") as caught:
        contentdb.open("postgresql://user:sesame@localhost/store")
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://u:s3cret@[::1/db",
        "postgresql://u:s3cret%zz@h/db",
        "postgresql://h/db?password=s3cret&foo=1",
        "postgresql://h/db?sslpassword=s3cret",
        "postgresql://h/db?foo=1&password=a@s3cret",
        "postgresql://u:a?s3cret@h/db",
        "postgresql://u:a#s3cret@h/db",
        "postgresql://u:s3cret @h/d b?x",
    ],
)
def test_a_password_in_a_malformed_address_is_not_shown(address: str) -> None:
    """libpq's text quotes what it does not understand."""
    with pytest.raises(InvalidArgumentError) as caught:
        contentdb.open(address)
    assert "s3cret" not in str(caught.value)


def test_a_malformed_address_without_a_password_says_why() -> None:
    with pytest.raises(InvalidArgumentError, match=r"u@h/db is no.*foo"):
        contentdb.open("postgresql://u@h/db?foo=1")


@pytest.mark.parametrize(
    "options",
    [{"durability": "process"}, {"mode": "r"}, {"sharing": "shared"}, {"pack_below": 1}],
)
def test_options_of_files_are_refused(place: str, options: dict[str, object]) -> None:
    with pytest.raises(InvalidArgumentError, match="on files"):
        contentdb.open(place, **options)  # type: ignore[arg-type]


def test_objects_are_refused_for_files(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="in a database"):
        contentdb.open(tmp_path, objects="s3://bucket/prefix")


def test_pickle_opens_another_one(store: contentdb.Store) -> None:
    digest = store.add(b"content").digest
    with pickle.loads(pickle.dumps(store)) as other:  # noqa: S301 - our own
        assert other.read(digest) == b"content"
    assert store.read(digest) == b"content"


def test_what_it_cannot_do(store: contentdb.Store) -> None:
    digest = store.add(b"content").digest
    for call in (lambda: store.path(digest), store.reindex, lambda: store.root):
        with pytest.raises(FailedPreconditionError):
            call()


def test_namespaces_share_bytes_but_not_rows(place: str, store: contentdb.Store) -> None:
    digest = store.add(b"c" * 10_000, labels={"k": "v"}).digest
    with contentdb.open(place, namespace="other") as other:
        assert not other.exists(digest)
        assert list(other.walk()) == []
        assert other.add(b"c" * 10_000).new
        assert other.info(digest).labels == {}
        store.delete(digest)
        assert other.read(digest) == b"c" * 10_000


def test_a_forks_child_is_refused(place: str) -> None:
    """6.6: the store that it inherits, and one that it opens: obstore would never answer."""
    program = """
import os, signal, sys, contentdb
store = contentdb.open(sys.argv[1])
digest = store.add(b"content").digest
for act in (lambda: store.read(digest), lambda: contentdb.open(sys.argv[1])):
    child = os.fork()
    if not child:
        signal.alarm(60)
        try:
            act()
        except contentdb.UnsafeForkError as error:
            os._exit(7 if "obstore" in str(error) else 1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert store.read(digest) == b"content"
"""
    subprocess.run([sys.executable, "-c", program, place], check=True)


def test_a_child_may_open_what_its_parent_has_not(place: str) -> None:
    program = """
import os, signal, sys, contentdb
child = os.fork()
if not child:
    signal.alarm(60)
    with contentdb.open(sys.argv[1]) as store:
        os._exit(7 if store.add(b"content" * 2000).new else 0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
"""
    subprocess.run([sys.executable, "-c", program, place], check=True)
