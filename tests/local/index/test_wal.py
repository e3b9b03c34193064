"""The WAL stays bounded, whoever writes."""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

from contentdb.local.index.connect import WAL_BYTES
from contentdb.local.index.database import Database
from tests.local.index.databases import make_index

SLACK_BYTES = 2 << 20


def commit_and_die(path: str, root: Path) -> None:
    """A process that commits a little and is killed: it never comes to a checkpoint by its rows."""
    child = os.fork()
    if child == 0:
        database = Database(path, str(root), durable=False)
        for _ in range(5):
            database.write(
                lambda connection: connection.execute("INSERT INTO big VALUES (zeroblob(100000))"),
                lambda _connection: True,
                durable=False,
            )
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)


def test_processes_that_die_young_fold_it_too(tmp_path: Path) -> None:
    path = make_index(tmp_path)
    with closing(sqlite3.connect(path)) as holder:  # the last to close would fold it
        holder.execute("CREATE TABLE big (data)")
        largest = 0
        for _ in range(40):
            commit_and_die(path, tmp_path)
            largest = max(largest, Path(f"{path}-wal").stat().st_size)
    assert largest <= WAL_BYTES + SLACK_BYTES
