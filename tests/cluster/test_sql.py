"""Transactions beside others that stand still."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from contentdb.cluster import sql
from contentdb.cluster.sql import Connection, Database

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

LIMIT_S = 60
LOCK = "SELECT 1 FROM pg_class WHERE relname = 'meta' FOR UPDATE"


def test_a_transaction_that_stands_still_gives_way_and_is_done_again(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that was stopped in the midst of a change holds up no other for long."""
    short = sql._NOT_IN_THE_WAY.replace("10s", "100ms").replace("5s", "50ms")
    monkeypatch.setattr(sql, "_NOT_IN_THE_WAY", short)
    database, other = Database(place), Database(place)
    held, passed = threading.Event(), threading.Event()
    tries: Iterator[int] = iter(range(1, 100))
    done: list[int] = []

    def stand_still(connection: Connection[Any]) -> int:
        connection.execute(LOCK)
        held.set()
        assert passed.wait(LIMIT_S)
        connection.execute("SELECT 1")
        return next(tries)

    def work() -> None:
        done.append(database.transact(stand_still))

    thread = threading.Thread(target=work)
    try:
        thread.start()
        assert held.wait(LIMIT_S)
        other.transact(lambda one: one.execute(LOCK).fetchall())
        passed.set()
        thread.join()
    finally:
        passed.set()
        thread.join()
        database.close()
        other.close()
    assert done == [1]


def test_a_connection_that_waits_for_nobody_is_given_no_limits(place: str) -> None:
    """A session, and a walk whose caller takes its time, are in no one's way."""
    database = Database(place)
    names = ("idle_in_transaction_session_timeout", "lock_timeout")
    try:
        lent = [database.rows(f"SHOW {name}") for name in names]
        with database.connect() as own:
            others = [own.execute(f"SHOW {name}").fetchall() for name in names]
    finally:
        database.close()
    assert lent == [[("10s",)], [("5s",)]]
    assert others == [[("0",)], [("0",)]]
