"""Doctor tries what a store in a database stands on."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import contentdb
from contentdb.store.doctor import examine
from tests.inside import resources_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.fixtures import Objects
    from tests.cluster.servers import PgBouncer


def verdicts(url: str) -> dict[str, str]:
    return {one.name: one.verdict for one in examine(url)}


def test_a_store_that_works_fails_nothing_and_is_left_as_it_was(store: contentdb.Store) -> None:
    resources = resources_of(store)

    def state() -> tuple[object, list[str]]:
        sessions = resources.database.rows("SELECT count(*) FROM sessions")
        return sessions, [one.key for one in resources.bucket.list("")]

    before = state()
    found = verdicts(store.place)
    assert {name for name, verdict in found.items() if verdict == "fail"} <= {"fsync"}
    assert found["session lock"] == found["requests"] == found["life"] == found["trash"] == "ok"
    assert found["durability"] == "warn"  # objects as files
    assert state() == before


def test_one_on_s3(database: str, objects: Objects) -> None:
    contentdb.open(database, objects=objects.url, endpoint=objects.endpoint).close()
    found = verdicts(database)
    assert (found["requests"], found["durability"], found["bucket's clock"]) == ("ok",) * 3


def test_a_database_without_a_store_or_without_a_server(database: str) -> None:
    assert verdicts(database)["store"] == "warn"
    assert verdicts(f"{database}_none") == {"database": "fail"}


def test_a_bucket_that_is_another_store_s_fails(place: str, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "objects")
    assert verdicts(place)["bucket"] == "fail"


def test_a_copy_of_the_database_is_told(store: contentdb.Store) -> None:
    """It would remove nothing, so that its bucket grows for ever."""
    resources_of(store).database.change("UPDATE meta SET timeline = timeline + 1")
    assert verdicts(store.place)["life"] == "warn"


def test_a_pooler_fails(pgbouncer: PgBouncer, place: str) -> None:
    found = verdicts(pgbouncer.url(place.rpartition("/")[2]))
    assert found["session lock"] == "fail"


def test_the_command(place: str) -> None:
    """The server of these tests does not sync, which is a failure."""
    done = subprocess.run(
        [sys.executable, "-m", "contentdb", "--root", place, "doctor", "--json"],
        capture_output=True,
        check=False,
    )
    found = [json.loads(one) for one in done.stdout.splitlines()]
    assert found[0]["name"] == "PostgreSQL"
    assert [one["name"] for one in found if one["verdict"] == "fail"] == ["fsync"]
    assert done.returncode == 1


def test_rights_that_are_missing_are_findings(store: contentdb.Store) -> None:
    """Each check that they prevent fails by itself; the others are made."""
    database = resources_of(store).database
    name = f"reader_{database.url.rpartition('/')[2]}"
    database.change(f"CREATE ROLE {name} LOGIN")
    database.change(f"GRANT SELECT ON meta, alembic_version TO {name}")
    parts = urlsplit(database.url)
    url = parts._replace(netloc=f"{name}@{parts.netloc.rpartition('@')[2]}").geturl()
    found = verdicts(url)
    assert found["session lock"] == found["trash"] == "fail"
    assert found["requests"] == found["life"] == "ok"
