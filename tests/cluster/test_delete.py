"""A delete beside commits of the same content in two namespaces."""

from __future__ import annotations

import threading
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import psycopg

from contentdb.cluster.catalog import blobs
from contentdb.cluster.sql import Connection, Database
from contentdb.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    import contentdb

_WAITING = (
    "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() "
    "AND wait_event_type = 'Lock' AND application_name = 'contentdb'"
)


class Between:
    """A connection that acts before some statements, once each."""

    def __init__(self, connection: Connection[Any], acts: dict[str, Callable[[], object]]) -> None:
        self._connection = connection
        self._acts = acts

    def execute(self, statement: str, values: dict[str, Any]) -> object:
        self._acts.pop(statement, lambda: None)()
        return self._connection.execute(statement, values)


def test_content_that_comes_in_two_namespaces_meanwhile(
    store: contentdb.Store, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """4.4: the delete sees that another namespace has it by now, and is done again."""
    digest = Digest(f"sha256:{sha256(b'w').hexdigest()}")
    other = psycopg.connect(place)

    def begin_add() -> None:
        other.execute("UPDATE objects SET damaged = false WHERE digest = %s", (digest,))
        other.execute("INSERT INTO blobs VALUES ('two', %s, 1, 1, 1)", (digest,))
        committer.start()

    def commit() -> None:
        with psycopg.connect(place, autocommit=True) as watcher:
            while not watcher.execute(_WAITING).fetchone():
                pass
        other.commit()

    committer = threading.Thread(target=commit)
    acts: dict[str, Callable[[], object]] = {
        blobs._THERE: lambda: store.add(b"w"),
        blobs._DISCARD: begin_add,
    }
    database = Database(place)
    transact = database.transact
    monkeypatch.setattr(
        database,
        "transact",
        lambda work, **given: transact(lambda one: work(Between(one, acts)), **given),
    )
    try:
        assert blobs.remove(database, "default", [digest], missing_ok=False) == (1, None)
    finally:
        committer.join()
        database.close()
        other.close()
    assert not acts
    assert not store.exists(digest)
