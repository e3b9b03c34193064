"""Servers for the tests of a session, and a database and a place for objects for each test.

Registered for all tests (`tests/conftest.py`); nothing is started before a test asks for it.
"""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.cluster.servers import (
    BUCKET,
    CREDENTIALS,
    PgBouncer,
    Postgres,
    Rclone,
    S3Server,
    SeaweedFS,
    Server,
    missing,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Objects", "place_for_objects", "running"]

_PLACES = count()


class Objects(NamedTuple):
    """A place for the objects of one store."""

    url: str
    """``s3://bucket/prefix``."""
    endpoint: str


def place_for_objects(server: S3Server) -> Objects:
    """A prefix of the server's bucket that nothing is under yet."""
    return Objects(f"s3://{BUCKET}/{next(_PLACES)}", server.endpoint)


@contextmanager
def running(*servers: Server) -> Iterator[None]:
    """Start servers in order, and at last end them and remove their folders."""
    try:
        for server in servers:
            server.start()
        yield
    finally:
        for server in reversed(servers):
            server.end()
            shutil.rmtree(server.folder, ignore_errors=True)


def skip_without(*servers: type[Server]) -> None:
    """Skip the test that asks, naming what this machine lacks."""
    lacking = [name for name in ("obstore", "psycopg") if importlib.util.find_spec(name) is None]
    if lacking:
        pytest.skip(f"needs the Python packages {', '.join(lacking)}: contentdb[cluster]")
    if reason := missing(*servers):
        pytest.skip(reason)


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    """Short enough for sockets, and open to the user postgres, which pytest's folders are not."""
    with tempfile.TemporaryDirectory(prefix="cdb-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


@pytest.fixture(scope="session")
def postgres(servers_folder: Path) -> Iterator[Postgres]:
    """A PostgreSQL that does not sync, shared by tests that do not stop it."""
    skip_without(Postgres)
    server = Postgres(servers_folder / "postgres")
    with running(server):
        yield server


@pytest.fixture(scope="session")
def seaweed(servers_folder: Path) -> Iterator[SeaweedFS]:
    """SeaweedFS, shared by tests that do not stop it."""
    skip_without(SeaweedFS)
    server = SeaweedFS(servers_folder / "seaweed")
    with running(server):
        yield server


@pytest.fixture(scope="session")
def rclone(servers_folder: Path) -> Iterator[Rclone]:
    """``rclone serve s3``, shared by tests that do not stop it."""
    skip_without(Rclone)
    server = Rclone(servers_folder / "rclone")
    with running(server):
        yield server


@pytest.fixture(scope="session")
def pgbouncer(servers_folder: Path, postgres: Postgres) -> Iterator[PgBouncer]:
    """A pooler before the shared PostgreSQL, in transaction mode."""
    skip_without(PgBouncer)
    server = PgBouncer(servers_folder / "pgbouncer", postgres)
    with running(server):
        yield server


@pytest.fixture
def s3_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process, and those that it starts, find the key pair of the S3 servers."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def database(postgres: Postgres) -> str:
    """The URL of an empty database."""
    return postgres.create_database()


@pytest.fixture
def objects(seaweed: SeaweedFS, s3_keys: None) -> Objects:
    """An empty place for objects on SeaweedFS."""
    return place_for_objects(seaweed)


@pytest.fixture
def rclone_objects(rclone: Rclone, s3_keys: None) -> Objects:
    """The same on rclone."""
    return place_for_objects(rclone)
