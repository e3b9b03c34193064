"""Sessions: a ref is free when its process has died, and never before; no pooler in between."""

from __future__ import annotations

import io
import os
import resource
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import contentdb
from contentdb.cluster.session import Session
from contentdb.cluster.sql import Database
from contentdb.digest import Digest
from contentdb.errors import IndexFailedError, RefLockedError, StorageError, StoreError
from tests.inside import resources_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from contentdb.cluster.sql import Connection
    from tests.cluster.servers import PgBouncer, Postgres

LIMIT_S = 60
BREAK = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"


@contextmanager
def holding(url: str, ref: str, size: int) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the ref; it has written so many bytes."""
    command = [sys.executable, "-m", "tests.cluster.holding", url, ref, str(size)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == str(size)
            yield process
        finally:
            process.kill()


def test_a_killed_holder_frees_its_ref(store: contentdb.Store, place: str) -> None:
    """What it had sent in whole segments is there for the next writer."""
    with holding(place, "r", 40 << 20) as process:
        with pytest.raises(RefLockedError, match=f"process {process.pid} on"):
            store.writer("r")
        assert store.status("r").held
        process.kill()
        process.wait()
        with store.writer("r", resume=True, wait=LIMIT_S) as writer:
            assert 0 < writer.offset <= 40 << 20
            assert writer.offset % (8 << 20) == 0
            writer.write(b"x" * ((40 << 20) - writer.offset))
            info = writer.commit()
    assert info.digest == Digest.of(b"x" * (40 << 20))
    assert len(store.read(info.digest)) == 40 << 20


def test_a_stopped_holder_keeps_its_ref(store: contentdb.Store, place: str) -> None:
    with holding(place, "r", 10) as process:
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(RefLockedError):
            store.writer("r", wait=1)
        assert store.status("r").held


def test_a_pooler_is_refused(pgbouncer: PgBouncer, postgres: Postgres, tmp_path: Path) -> None:
    """3.3: through it the lock of a dead process would stay, and two could have one."""
    url = postgres.create_database()
    contentdb.open(url, objects=f"file://{tmp_path}").close()
    pooled = pgbouncer.url(url.rpartition("/")[2])
    with contentdb.open(pooled) as store:
        for act in (lambda: store.add(b"content"), lambda: store.writer("ref")):
            with pytest.raises(StoreError, match="pooler"):
                act()


def test_a_broken_connection_comes_back_with_its_lock(store: contentdb.Store, place: str) -> None:
    """A writer goes on, and no other process takes its ref meanwhile."""
    resources = resources_of(store)
    with store.writer("r") as writer:
        writer.write(b"con")
        session = resources.session.id
        resources.database.rows(BREAK)
        with resources.session.hearing("never") as again:
            assert again.wait(LIMIT_S)  # told when the connection is back
        assert resources.session.id == session
        other = contentdb.open(f"{place}?application_name=other")
        with other, pytest.raises(RefLockedError):
            other.writer("r")
        writer.write(b"tent")
        assert store.read(writer.commit().digest) == b"content"


def test_a_connection_comes_back_beside_many_open_files(
    store: contentdb.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`select` takes no descriptor from 1024 on."""
    connect = Database.connect
    refused: list[int] = []

    def refuse(self: Database) -> Connection[tuple[object, ...]]:
        if not refused:
            refused.append(1)
            raise IndexFailedError("session", "refused once", what="database")
        return connect(self)

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    with ExitStack() as opened:
        opened.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        while opened.enter_context(open(os.devnull)).fileno() < 1024:  # noqa: PTH123 - hundreds
            pass
        session = resources_of(store).session
        before = session.id
        monkeypatch.setattr(Database, "connect", refuse)
        with session.hearing("never") as again:
            resources_of(store).database.rows(BREAK)
            assert again.wait(LIMIT_S)
        assert refused
        assert session.id == before


def test_the_end_of_a_session_leaves_the_next_one_alone(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one begins while the thread of the first is about to end."""
    come_back = Session._come_back
    begun = threading.Event()

    def late(self: Session, *given: Any) -> object:  # noqa: ANN401 - as they are
        found = come_back(self, *given)
        assert found is None
        assert self.id != first
        begun.set()
        return found

    monkeypatch.setattr(Session, "_come_back", late)
    store = contentdb.open(place)
    resources = resources_of(store)
    first = resources.session.id
    resources.database.change("UPDATE sessions SET fenced = true")
    (thread,) = (one for one in threading.enumerate() if one.name == "contentdb-session")
    resources.database.rows(BREAK)
    assert begun.wait(LIMIT_S)
    thread.join()
    monkeypatch.undo()
    closer = threading.Thread(target=store.close, daemon=True)
    closer.start()
    closer.join(LIMIT_S)
    assert not closer.is_alive()


def test_a_fenced_writer_commits_nothing(store: contentdb.Store) -> None:
    """A prune that took its session for dead may have removed what it wrote."""
    resources = resources_of(store)
    with store.writer("r") as writer:
        writer.write(b"c" * 10_000)
        resources.database.change("UPDATE sessions SET fenced = true")
        with pytest.raises(StorageError, match="took this process for dead"):
            writer.commit()
    assert list(store.walk()) == []
    assert store.ingest("r", io.BytesIO(b"c" * 10_000)).new  # by another session


def fill(writer: contentdb.Writer) -> None:
    """Write more than is under way at once."""
    for _ in range(9):
        writer.write(bytes(8 << 20))


def test_a_fenced_writer_is_told_when_it_notes_its_bytes(store: contentdb.Store) -> None:
    database = resources_of(store).database
    store.add(b"before")
    with store.writer("r") as writer:
        database.change("UPDATE sessions SET fenced = true")
        with pytest.raises(StorageError, match="took this process for dead"):
            fill(writer)
    with store.writer("r", resume=True) as writer:
        writer.truncate()
        writer.write(bytes(20 << 20))
        assert writer.commit().new


def test_a_session_fenced_before_it_has_its_lock_gives_way_to_another(
    place: str, store: contentdb.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prune that comes between its row and its lock takes it for dead."""
    take_lock = Session._take_lock
    fenced: list[int] = []

    def late(self: Session, connection: Connection[tuple[object, ...]], id_: int) -> bool:
        if not fenced:
            fenced.append(id_)
            with contentdb.open(f"{place}?application_name=other") as other:
                other.prune(older_than=0)
        return take_lock(self, connection, id_)

    monkeypatch.setattr(Session, "_take_lock", late)
    for number in range(2):
        assert store.ingest(f"r{number}", io.BytesIO(b"%d" % number * 9_000)).new
    assert fenced
    assert fenced != [resources_of(store).session.id]


def test_a_session_whose_lock_a_prune_has_gives_way_to_another(
    place: str, store: contentdb.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_lock = Session._take_lock
    held: list[int] = []

    def late(self: Session, connection: Connection[tuple[object, ...]], id_: int) -> bool:
        if held:
            return take_lock(self, connection, id_)
        held.append(id_)
        with psycopg.connect(place) as other:
            other.execute("SELECT pg_advisory_xact_lock(%s)", (id_,))
            return take_lock(self, connection, id_)

    monkeypatch.setattr(Session, "_take_lock", late)
    assert store.ingest("r", io.BytesIO(b"c" * 9_000)).new
    assert held != [resources_of(store).session.id]


def test_a_fenced_add_is_written_again(store: contentdb.Store) -> None:
    resources = resources_of(store)
    store.add(b"before")
    fenced = resources.session.id
    resources.database.change("UPDATE sessions SET fenced = true")
    info = store.add(b"c" * 10_000)
    assert info.new
    assert resources.session.id != fenced
    resources.database.change("UPDATE sessions SET fenced = true")
    infos = list(store.add_many([b"d" * 10_000, b"e" * 10_000]))
    assert [one.new for one in infos] == [True, True]
    assert store.read(info.digest) == b"c" * 10_000


def test_the_server_soon_notices_a_host_that_is_gone(place: str) -> None:
    """A transaction that was cut off would hold its row locks for hours."""
    database = Database(place)
    names = ("tcp_keepalives_idle", "tcp_user_timeout")
    try:
        found = {name: database.rows(f"SHOW {name}") for name in names}
    finally:
        database.close()
    assert found == {"tcp_keepalives_idle": [("3",)], "tcp_user_timeout": [("6000",)]}
