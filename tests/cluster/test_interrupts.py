"""A signal handler that raises, while the database makes a call wait."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING

import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    import contentdb

SIGNAL = signal.SIGUSR1
_WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
    "AND wait_event_type = 'Lock' AND application_name = 'contentdb'"
)


class Stop(Exception):  # noqa: N818 - what a program's handler raises
    """Of the handler."""


@contextmanager
def stopped(place: str) -> Iterator[None]:
    """Raise `Stop` in the block once a statement of its waits for a lock."""

    def watch() -> None:
        with psycopg.connect(place, autocommit=True) as connection:
            while not over.wait(0.01):
                if connection.execute(_WAITING).fetchone() != (0,):
                    os.kill(os.getpid(), SIGNAL)
                    return

    def handle(*_: object) -> None:
        raise Stop

    over = threading.Event()
    before = signal.signal(SIGNAL, handle)
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with pytest.raises(Stop):
            yield
    finally:
        over.set()
        watcher.join()
        signal.signal(SIGNAL, before)


def is_quiet(place: str) -> None:
    """Wait until no statement but this one is under way: what was to come later has come."""
    with psycopg.connect(place, autocommit=True) as connection:
        while connection.execute(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() "
            "AND state <> 'idle' AND pid <> pg_backend_pid()"
        ).fetchone():
            pass


def test_an_add_that_was_stopped_does_not_happen_later(store: contentdb.Store, place: str) -> None:
    """6.6: its statement is ended at the server, not only here."""
    digest = f"sha256:{sha256(b'content').hexdigest()}"
    store.add(b"before")
    with psycopg.connect(place) as other:
        other.execute(
            "INSERT INTO objects (digest, size, checksum, inline) VALUES (%s, 7, 0, 'content')",
            (digest,),
        )
        with stopped(place):
            store.add(b"content")
        other.rollback()
    is_quiet(place)
    assert not store.exists(digest)
    assert store.add(b"content").new


@pytest.mark.parametrize("table", ["blobs", "objects"])
def test_a_transaction_that_was_stopped_is_not_tried_again(
    store: contentdb.Store, place: str, table: str
) -> None:
    """6.6: the handler's exception comes out of the call, and nothing has changed."""
    digest = store.add(b"content").digest
    with psycopg.connect(place) as other:
        other.execute(f"SELECT 1 FROM {table} FOR UPDATE")  # noqa: S608
        with stopped(place):
            if table == "blobs":
                store.update(digest, {"key": "value"})
            else:
                store.delete(digest)
        other.rollback()
    is_quiet(place)
    assert store.info(digest).labels == {}
    assert store.update(digest, {"key": "value"}).labels == {"key": "value"}
