"""An index that an earlier revision made opens, migrates and keeps what it holds.

The text of each is fixed for ever: what stores in the field look like, not what the code makes.
"""

from __future__ import annotations

import contextlib
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from contentdb.content import Policy
from contentdb.digest import Digest
from contentdb.errors import NewerStoreError
from contentdb.local.index import Blob
from contentdb.local.index.create import create_tables
from contentdb.local.index.index import Index
from contentdb.local.index.migrate import upgrade
from contentdb.local.index.revision import HEAD, REVISIONS, check, revision_of

DUMPS = Path(__file__).parent
DIGEST = Digest.of(b"content")


def load(root: Path, revision: str) -> str:
    path = root / "index.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript((DUMPS / f"{revision}.sql").read_text())
    return str(path)


def test_there_is_one_of_every_revision() -> None:
    assert sorted(path.stem for path in DUMPS.glob("*.sql")) == list(REVISIONS)


@pytest.mark.parametrize("revision", REVISIONS)
def test_it_migrates_and_keeps_what_it_holds(tmp_path: Path, revision: str) -> None:
    path = load(tmp_path, revision)
    assert revision_of(path, str(tmp_path)) == revision
    upgrade(path)
    assert revision_of(path, str(tmp_path)) == HEAD
    index = Index(path, str(tmp_path), namespace="default", durable=True)
    with contextlib.closing(index):
        blob = index.blob(DIGEST)
        assert blob is not None
        assert blob._replace(review_ns=None) == Blob(
            7, -5, 1700000000000000000, 1700000000000000001, 0
        )
        assert index.info(DIGEST, blob).labels == {"k": "v", "näive ☃": "'quoted'"}
        assert [info.digest for info in index.walk(None, "digest", None, None)] == [DIGEST]
        ingest = index.ingest("a/b c")
        assert ingest is not None
        assert (ingest.total, ingest.expected, ingest.offset) == (7, str(DIGEST), 3)
        assert [one.digest for one in index.tombstones()] == [Digest.of(b"deleted")]
        tags = [] if revision < "0004" else [("app:v1", str(DIGEST), {"k": "v"})]
        assert [(tag.name, tag.digest, tag.labels) for tag in index.tags(None)] == tags
        with index._database.snapshot() as db:
            leases = [] if revision < "0005" else [("l", None)]
            assert db.execute("SELECT id, expires_at FROM leases").fetchall() == leases
            queued = [] if revision < "0005" else [(9,)]
            found = db.execute("SELECT review_at FROM blobs WHERE review_at IS NOT NULL")
            assert found.fetchall() == queued
        policy = None if revision < "0006" else Policy(timedelta(hours=1), filters=("size>3",))
        assert index.policy() == policy
        assert index.totals() is None
        assert ingest.metadata == (None if revision == "0001" else '{"etag":"\\"1\\""}')


def test_a_process_of_the_first_release_goes_on_beside_a_migration(tmp_path: Path) -> None:
    """It has the store open already, and begins an ingest with the statement that it knows."""
    path = load(tmp_path, "0001")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        assert db.execute("SELECT count(*) FROM ingests").fetchone() == (1,)
        upgrade(path)
        db.execute(
            'INSERT INTO ingests (namespace, ref, name, token, total, expected, "offset",'
            " started_at, updated_at, holder, held_since)"
            " VALUES ('default', 'r', 'name', 'token', NULL, NULL, 0, 1, 1, 'me', 1)"
            " ON CONFLICT (namespace, ref) DO UPDATE SET token = excluded.token"
        )
    index = Index(path, str(tmp_path), namespace="default", durable=True)
    with contextlib.closing(index):
        assert index.ingest("r") == ("r", "name", "token", None, None, 0, 1, 1, "me", 1, None)


@pytest.mark.parametrize("revision", REVISIONS)
def test_it_becomes_what_is_made_today(tmp_path: Path, revision: str) -> None:
    old = load(tmp_path, revision)
    upgrade(old)
    new = tmp_path / "new.sqlite"
    new.touch()
    create_tables(str(new))
    assert made(old) == made(str(new))


def test_the_migrations_alone_make_the_same(tmp_path: Path) -> None:
    migrated, created = tmp_path / "migrated.sqlite", tmp_path / "created.sqlite"
    for path, make in (migrated, upgrade), (created, create_tables):
        path.touch()
        make(str(path))
    assert made(str(migrated)) == made(str(created))


def made(path: str) -> list[object]:
    """The tables and indexes in words, and what else tells one revision from another."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        texts = db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name")
        headers = [
            db.execute(f"PRAGMA {of}").fetchall() for of in ("application_id", "user_version")
        ]
        revision = db.execute("SELECT version_num FROM alembic_version").fetchall()
        return [[text.split() for (text,) in texts], headers, revision]


def test_a_newer_revision_is_refused(tmp_path: Path) -> None:
    path = load(tmp_path, HEAD)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
    found = revision_of(path, str(tmp_path))
    assert found == "9999"
    with pytest.raises(NewerStoreError, match="revision 9999"):
        check(found, str(tmp_path))


def test_a_newer_layout_is_refused(tmp_path: Path) -> None:
    path = load(tmp_path, HEAD)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(NewerStoreError, match="version 99"):
        revision_of(path, str(tmp_path))
