"""The migrations lead to the tables that a new store has."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import contentdb
from contentdb.cluster import migrate
from contentdb.cluster.schema import HEAD
from contentdb.cluster.sql import Database

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.servers import Postgres


def _dump(url: str) -> list[str]:
    found = subprocess.run(
        ["pg_dump", "--schema-only", "--no-owner", "-d", url],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = found.stdout.splitlines()
    return [line for line in lines if line and not line.startswith(("--", "\\"))]


def test_the_migrations_make_the_tables_of_a_new_store(postgres: Postgres, tmp_path: Path) -> None:
    made, migrated = postgres.create_database(), postgres.create_database()
    contentdb.open(made, objects=f"file://{tmp_path}").close()
    database = Database(migrated)
    migrate.upgrade(database, HEAD)
    database.close()
    assert _dump(migrated) == _dump(made)


def test_a_store_that_is_up_to_date_stays_as_it_is(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.create_database()
    with contentdb.open(url, objects=f"file://{tmp_path}") as store:
        digest = store.add(b"content").digest
        before = _dump(url)
        assert migrate.migrate(url) == HEAD
        assert store.read(digest) == b"content"
    assert _dump(url) == before
