"""Recording blobs: their rows, their labels and the end of their ingests, within a transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from contentdb.index import Outcome, State, statements
from contentdb.index.rows import (
    has_labels,
    has_token,
    key_of,
    may_lack,
    merge_labels,
    set_labels,
    state_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from sqlite3 import Connection

    from contentdb.index import Entry

__all__ = ["is_recorded", "record"]


def record(connection: Connection, namespace: str, entries: Sequence[Entry]) -> list[Outcome]:
    """Insert blobs and end their ingests; what was found, in the order of the entries."""
    return _insert_all(connection, namespace, entries) or [
        _record(connection, namespace, entry) for entry in entries
    ]


def is_recorded(connection: Connection, namespace: str, entry: Entry) -> bool:
    """Whether the entry's blob is live and labelled, and the ingest that it ended is gone."""
    key = key_of(namespace, entry.digest)
    if state_of(connection, key) != State.LIVE:
        return False
    if not has_labels(connection, key, entry.labelling.stored):
        return False
    return entry.token is None or not _is_ours(connection, namespace, entry)


def _record(connection: Connection, namespace: str, entry: Entry) -> Outcome:
    if entry.token is not None and not _is_ours(connection, namespace, entry):
        return Outcome.FENCED
    if not entry.present() or not _is_as_relied_on(connection, namespace, entry):
        return Outcome.GONE
    outcome = _insert(connection, namespace, entry)
    key = key_of(namespace, entry.digest)
    labels = entry.labelling
    if outcome is Outcome.CREATED:
        set_labels(connection, key, labels.new)
    elif outcome is Outcome.EXISTS:
        merge_labels(connection, key, labels.stored, entry.now_ns, entry.stamp)
    elif may_lack(connection, key, labels.stored):  # its row has a new time of update already
        set_labels(connection, key, labels.stored)
    if entry.token is not None:
        ingest = {"namespace": namespace, "ref": entry.ref, "token": entry.token}
        connection.execute(statements.END_INGEST, ingest)
    return outcome


def _is_ours(connection: Connection, namespace: str, entry: Entry) -> bool:
    return has_token(connection, namespace, entry.ref or "", entry.token or "")


def _is_as_relied_on(connection: Connection, namespace: str, entry: Entry) -> bool:
    if entry.only_if is None:
        return True
    return state_of(connection, key_of(namespace, entry.digest)) in entry.only_if


def _insert_all(
    connection: Connection, namespace: str, entries: Sequence[Entry]
) -> list[Outcome] | None:
    """Insert a group in one statement, if all of it is new, as groups mostly are."""
    if len(entries) == 1 or any(entry.token or entry.only_if for entry in entries):
        return None
    if not all(entry.present() for entry in entries):
        return None
    connection.execute("SAVEPOINT together")
    rows = [_values(namespace, entry) for entry in entries]
    all_new = connection.executemany(statements.INSERT_BLOB, rows).rowcount == len(rows)
    if not all_new:
        connection.execute("ROLLBACK TO together")
    connection.execute("RELEASE together")
    if not all_new:
        return None
    for entry in entries:
        if labels := entry.labelling.new:
            set_labels(connection, key_of(namespace, entry.digest), labels)
    return [Outcome.CREATED] * len(rows)


def _insert(connection: Connection, namespace: str, entry: Entry) -> Outcome:
    values = _values(namespace, entry)
    if connection.execute(statements.INSERT_BLOB, values).rowcount == 1:
        return Outcome.CREATED
    state = state_of(connection, key_of(namespace, entry.digest))
    if state == State.LIVE:
        return Outcome.EXISTS
    connection.execute(statements.REVIVE_BLOB, values)
    return Outcome.CREATED if state == State.TOMBSTONE else Outcome.HEALED


def _values(namespace: str, entry: Entry) -> dict[str, Any]:
    return {
        "namespace": namespace,
        "digest": str(entry.digest),
        "size": entry.size,
        "checksum": entry.checksum,
        "now": entry.now_ns,
    }
