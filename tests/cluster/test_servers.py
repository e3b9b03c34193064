"""The servers that the tests of this folder stand on: they start, keep their data, and end."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.fixtures import running, skip_without
from tests.cluster.servers import PgBouncer, Postgres, Rclone, SeaweedFS, runs

_DYING = """
import sys
from pathlib import Path
from tests.cluster.servers import Postgres
server = Postgres(Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("kind", [SeaweedFS, Rclone])
def test_an_s3_server_keeps_its_objects_over_a_kill(
    kind: type[SeaweedFS | Rclone], servers_folder: Path
) -> None:
    import obstore

    skip_without(kind)
    server = kind(servers_folder / "killed")
    with running(server):
        obstore.put(server.client("prefix"), "here", b"content", use_multipart=False)
        server.restart()
        assert bytes(obstore.get(server.client("prefix"), "here").bytes()) == b"content"


@pytest.mark.parametrize("durable", [False, True])
def test_postgresql_keeps_what_it_committed_over_a_kill(
    servers_folder: Path, *, durable: bool
) -> None:
    skip_without(Postgres)
    import psycopg

    server = Postgres(servers_folder / "killed", durable=durable)
    with running(server):
        url = server.create_database()
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS number")
        server.restart()
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT number FROM kept").fetchone() == (1,)
            told = connection.execute("SHOW fsync").fetchone()
        assert told == ("on" if durable else "off",)


def test_postgresql_leaves_no_shared_memory(servers_folder: Path) -> None:
    """A killed one leaves none in /dev/shm, one that is ended none of System V either."""
    skip_without(Postgres)
    server = Postgres(servers_folder / "ended")
    with running(server):
        told = (server.folder / "data" / "postmaster.pid").read_text().splitlines()
        number = told[6].split()[1]
        assert number in _shared_memory()
        assert "/dev/shm/PostgreSQL" not in Path(f"/proc/{server.pid}/maps").read_text()  # noqa: S108 - what must not be
    assert number not in _shared_memory()


def _shared_memory() -> set[str]:
    """The ids of System V's segments."""
    lines = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    return {line.split()[1] for line in lines}


def test_a_server_ends_with_the_process_that_started_it(servers_folder: Path) -> None:
    skip_without(Postgres)
    command = [sys.executable, "-c", _DYING, str(servers_folder / "dying")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        pid = int(child.stdout.readline())
        assert runs(pid)
        child.send_signal(signal.SIGKILL)
        child.wait()
        while runs(pid):
            pass


def test_each_database_is_another(postgres: Postgres) -> None:
    import psycopg

    one, other = postgres.create_database(), postgres.create_database()
    with psycopg.connect(one) as connection:
        connection.execute("CREATE TABLE here (number int)")
    with psycopg.connect(other) as connection:
        assert connection.execute("SELECT to_regclass('here')").fetchone() == (None,)


def test_the_pooler_gives_one_session_lock_to_two_clients(
    pgbouncer: PgBouncer, database: str
) -> None:
    """What the engine must find out, and refuse."""
    import psycopg

    url = pgbouncer.url(database.rpartition("/")[2])
    lock = "SELECT pg_try_advisory_lock(1, 2)"
    with (
        psycopg.connect(url, autocommit=True, prepare_threshold=None) as one,
        psycopg.connect(url, autocommit=True, prepare_threshold=None) as other,
    ):
        assert one.execute(lock).fetchone() == (True,)
        assert other.execute(lock).fetchone() == (True,)
