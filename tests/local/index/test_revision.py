"""Revisions: known without alembic, reached in one step or not at all, refused when too new."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from typing import TYPE_CHECKING

import pytest
from alembic.script import ScriptDirectory

import contentdb.migrations
from contentdb import store_folder
from contentdb.errors import (
    IndexDamagedError,
    IndexFailedError,
    MigrationNeededError,
    NewerStoreError,
    NotAStoreError,
)
from contentdb.local.index import migrate, revision
from tests.local.index.databases import make_index

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from alembic.config import Config


def scripts(settings: Config) -> ScriptDirectory:
    return ScriptDirectory.from_config(settings)


def migrated(root: Path) -> str:
    """An index made by the migrations alone."""
    path = root / "index.sqlite"
    path.touch()
    migrate.upgrade(str(path))
    return str(path)


def test_the_constants_are_those_of_the_migrations() -> None:
    directory = scripts(migrate.config())
    found = [script.revision for script in directory.walk_revisions()]
    assert tuple(reversed(found)) == revision.REVISIONS
    assert directory.get_heads() == [revision.HEAD]


@pytest.mark.parametrize("name", ["a b", "50%", "%25%(here)s", "what?#", "'q\"", "näive ☃"])
@pytest.mark.parametrize("make", [make_index, migrated], ids=["created", "migrated"])
def test_an_empty_file_becomes_an_index(
    tmp_path: Path, name: str, make: Callable[[Path], str]
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "index.sqlite").touch()
    assert revision.revision_of(str(folder / "index.sqlite"), str(folder)) is None
    path = make(folder)
    assert revision.revision_of(path, str(folder)) == revision.HEAD
    migrate.upgrade(path)  # may be repeated
    assert [one.name for one in folder.iterdir()] == ["index.sqlite"]


def test_the_migrations_may_lie_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = scripts(migrate.config()).dir
    folder = tmp_path / "50% %(here)s"
    shutil.copytree(shipped, folder)
    monkeypatch.setattr(contentdb.migrations, "__path__", [str(folder)])
    assert scripts(migrate.config()).dir == str(folder)
    assert revision.revision_of(migrated(tmp_path), str(tmp_path)) == revision.HEAD


def test_the_header_says_what_the_file_is(db: sqlite3.Connection) -> None:
    assert db.execute("PRAGMA application_id").fetchone() == (store_folder.APPLICATION_ID,)
    assert db.execute("PRAGMA user_version").fetchone() == (store_folder.FORMAT_VERSION,)
    assert store_folder.APPLICATION_ID.to_bytes(4, "big") == b"CDB1"


@pytest.fixture
def next_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A revision after the last; what it does is up to the test."""
    folder = tmp_path / "versions"
    folder.mkdir()
    settings = migrate.config()
    shipped = scripts(settings).versions
    settings.set_main_option("version_locations", f"{shipped}:{folder}")
    monkeypatch.setattr(migrate, "config", lambda: settings)
    file = folder / "next_one.py"
    file.write_text(
        f"revision, down_revision = 'next', {revision.HEAD!r}\n"
        "from alembic import op\nimport sqlalchemy as sa\ndef upgrade():\n"
    )
    return file


def test_a_failed_migration_leaves_the_old_revision(path: str, next_revision: Path) -> None:
    with next_revision.open("a") as file:
        file.write("    op.add_column('blobs', sa.Column('new', sa.Text))\n    op.execute('BAD')\n")
    with pytest.raises(IndexFailedError, match="BAD"):
        migrate.upgrade(path, "next")
    assert revision.revision_of(path, "/root") == revision.HEAD
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert "new" not in [row[1] for row in db.execute("PRAGMA table_info(blobs)")]


def test_a_table_made_anew_keeps_what_refers_to_it(path: str, next_revision: Path) -> None:
    """Batch mode drops the old table of blobs, and the labels must not go with it."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("INSERT INTO blobs VALUES ('default', 'd', 1, 1, 1, 1, 0, NULL, NULL, NULL)")
        db.execute("INSERT INTO labels VALUES ('default', 'd', 'k', 'v')")
    with next_revision.open("a") as file:
        file.write(
            "    with op.batch_alter_table('blobs', recreate='always') as batch:\n"
            "        batch.add_column(sa.Column('new', sa.Text))\n"
        )
    migrate.upgrade(path, "next")
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT digest, new FROM blobs").fetchall() == [("d", None)]
        assert db.execute("SELECT key, value FROM labels").fetchall() == [("k", "v")]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []


def test_a_foreign_database_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE theirs (x)")
    before = path.read_bytes()
    with pytest.raises(NotAStoreError, match="something else"):
        revision.revision_of(str(path), str(tmp_path))
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["index.sqlite"]


def test_what_is_no_database_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    path.write_bytes(b"no database" * 100)
    with pytest.raises(IndexDamagedError):
        revision.revision_of(str(path), str(tmp_path))


def test_revisions_that_cannot_be_used() -> None:
    revision.check(revision.HEAD, "/root")
    with pytest.raises(NewerStoreError, match="upgrade contentdb"):
        revision.check("9999", "/root")
    with pytest.raises(MigrationNeededError, match="contentdb migrate"):
        revision.check("0001", "/root")
