"""Record blobs: their rows, their labels and the end of their ingests, within a transaction.

Upkeep may find a file after it got its name and before it has a row, and adopt it. The commit then
recognises that row and makes it its own: a commit's time is even and stamped on its file, and an
adopted file and row get a time one nanosecond less, which no commit has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from contentdb.local.index import Outcome, State, statements
from contentdb.local.index.rows import (
    find_blob,
    has_labels,
    has_token,
    key_of,
    may_lack,
    merge_labels,
    set_labels,
    state_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from sqlite3 import Connection

    from contentdb.local.index import Blob, Entry

__all__ = ["adopt", "is_recorded", "record"]


def record(connection: Connection, namespace: str, entries: Sequence[Entry]) -> list[Outcome]:
    """Insert blobs and end their ingests; return the outcomes, in the order of the entries."""
    return _insert_all(connection, namespace, entries) or [
        _record(connection, namespace, entry) for entry in entries
    ]


def is_recorded(connection: Connection, namespace: str, entry: Entry) -> bool:
    """Return whether the entry's row is live, its own and labelled, and its ingest has ended."""
    key = key_of(namespace, entry.digest)
    blob = find_blob(connection, key)
    if blob is None or blob.state != State.LIVE or _is_adopted(blob, entry):
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
        merge_labels(connection, key, labels.stored, entry.now_ns, _make_stamp(entry))
    elif may_lack(connection, key, labels.stored):  # its row has a new update time already
        set_labels(connection, key, labels.stored)
    if entry.token is not None:
        ingest = {"namespace": namespace, "ref": entry.ref, "token": entry.token}
        connection.execute(statements.END_INGEST, ingest)
    return outcome


def _make_stamp(entry: Entry) -> Callable[[Blob, int], object]:
    """Return a function that gives the entry's file a new time, if it has its row's old one."""
    return lambda blob, moved_ns: entry.stamp(moved_ns, instead_of_ns=blob.updated_ns)


def _is_ours(connection: Connection, namespace: str, entry: Entry) -> bool:
    return has_token(connection, namespace, entry.ref or "", entry.token or "")


def _is_as_relied_on(connection: Connection, namespace: str, entry: Entry) -> bool:
    if entry.only_if is None:
        return True
    return state_of(connection, key_of(namespace, entry.digest)) in entry.only_if


def _insert_all(
    connection: Connection, namespace: str, entries: Sequence[Entry]
) -> list[Outcome] | None:
    """Insert a group in one statement; return None if not all of it is new, which is rare."""
    if len(entries) == 1 or any(entry.token or entry.only_if for entry in entries):
        return None
    if not all(entry.present() for entry in entries):
        return None
    connection.execute("SAVEPOINT together")
    rows = [_values(namespace, entry, entry.now_ns) for entry in entries]
    all_new = connection.executemany(statements.INSERT_BLOB, rows).rowcount == len(rows)
    if not all_new:
        connection.execute("ROLLBACK TO together")
    connection.execute("RELEASE together")
    if not all_new:
        return None
    for entry in entries:
        entry.stamp(entry.now_ns)
        if labels := entry.labelling.new:
            set_labels(connection, key_of(namespace, entry.digest), labels)
    return [Outcome.CREATED] * len(rows)


def _insert(connection: Connection, namespace: str, entry: Entry) -> Outcome:
    """Make the row live, and give the file its time."""
    values = _values(namespace, entry, entry.now_ns)
    if connection.execute(statements.INSERT_BLOB, values).rowcount == 1:
        entry.stamp(entry.now_ns)
        return Outcome.CREATED
    blob = find_blob(connection, values)
    if blob is None or blob.state != State.LIVE:
        entry.stamp(entry.now_ns)
        connection.execute(statements.REVIVE_BLOB, values)
        was_damaged = blob is not None and blob.state == State.DAMAGED
        return Outcome.HEALED if was_damaged else Outcome.CREATED
    if not _is_adopted(blob, entry):
        entry.stamp(blob.updated_ns)
        return Outcome.EXISTS
    (updated_ns,) = connection.execute(statements.OWN_BLOB, values).fetchone()
    entry.stamp(updated_ns, instead_of_ns=blob.updated_ns)
    return Outcome.CREATED if blob.created_ns == entry.now_ns - 1 else Outcome.HEALED


def _is_adopted(blob: Blob, entry: Entry) -> bool:
    """Return whether upkeep made the row, from the entry's own file."""
    return entry.now_ns - 1 in {blob.created_ns, blob.updated_ns}


def adopt(
    connection: Connection, namespace: str, entry: Entry, is_claimed: Callable[[], bool]
) -> bool:
    """Give a whole file its row, unless it has one or something claims it."""
    state = state_of(connection, key_of(namespace, entry.digest))
    if not entry.present() or state in {State.LIVE, State.TOMBSTONE}:
        return False
    if state is None and is_claimed():
        return False
    entry.stamp(entry.now_ns - 1)
    statement = statements.INSERT_BLOB if state is None else statements.REVIVE_BLOB
    connection.execute(statement, _values(namespace, entry, entry.now_ns - 1))
    return True


def _values(namespace: str, entry: Entry, moment_ns: int) -> dict[str, Any]:
    return {
        "namespace": namespace,
        "digest": str(entry.digest),
        "size": entry.size,
        "checksum": entry.checksum,
        "now": moment_ns,
    }
