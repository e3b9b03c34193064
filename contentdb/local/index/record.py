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


def record(namespace: str, entries: Sequence[Entry], connection: Connection) -> list[Outcome]:
    """Insert blobs and end their ingests; return the outcomes, in the order of the entries."""
    if len(entries) > 1 and (outcomes := _insert_all(connection, namespace, entries)):
        return outcomes
    return [_record(connection, namespace, entry) for entry in entries]


def is_recorded(namespace: str, entries: Sequence[Entry], connection: Connection) -> bool:
    """Return whether each row is live, its entry's own and labelled, and its ingest has ended."""
    return all(_is_recorded(connection, namespace, entry) for entry in entries)


def _is_recorded(connection: Connection, namespace: str, entry: Entry) -> bool:
    key = key_of(namespace, entry.digest)
    blob = find_blob(connection, key)
    if blob is None or blob.state != State.LIVE or _is_adopted(blob, entry):
        return False
    if not has_labels(connection, key, entry.labelling.stored):
        return False
    values = {"namespace": namespace, "ref": entry.ref, "token": entry.token}
    return entry.token is None or connection.execute(statements.HOLDS, values).fetchone() is None


def _record(connection: Connection, namespace: str, entry: Entry) -> Outcome:
    labels, token = entry.labelling, entry.token
    values = _values(namespace, entry, entry.now_ns) | {"ref": entry.ref, "token": token}
    if token is not None and connection.execute(statements.HOLDS, values).fetchone() is None:
        return Outcome.FENCED
    if not entry.present():
        return Outcome.GONE
    if entry.only_if is not None and state_of(connection, values) not in entry.only_if:
        return Outcome.GONE
    if connection.execute(statements.INSERT_BLOB, values).rowcount == 1:
        entry.stamp(entry.now_ns)
        outcome = Outcome.CREATED
    else:
        outcome = _revive(connection, entry, values)
    if outcome is Outcome.CREATED:
        if labels.new:
            set_labels(connection, values, labels.new)
    elif outcome is Outcome.EXISTS:
        merge_labels(connection, values, labels.stored, entry.now_ns, _make_stamp(entry))
    elif may_lack(connection, values, labels.stored):  # its row has a new update time already
        set_labels(connection, values, labels.stored)
    if token is not None:
        connection.execute(statements.END_INGEST, values)
    return outcome


def _revive(connection: Connection, entry: Entry, values: dict[str, Any]) -> Outcome:
    """Make a row live that exists already, and give the file its time."""
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


def _make_stamp(entry: Entry) -> Callable[[Blob, int], object]:
    """Return a function that gives the entry's file a new time, if it has its row's old one."""
    return lambda blob, moved_ns: entry.stamp(moved_ns, instead_of_ns=blob.updated_ns)


def _insert_all(
    connection: Connection, namespace: str, entries: Sequence[Entry]
) -> list[Outcome] | None:
    """Insert a group in one statement; return None if not all of it is new, which is rare."""
    if any(entry.token or entry.only_if for entry in entries):
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
    for entry, values in zip(entries, rows, strict=True):
        entry.stamp(entry.now_ns)
        if labels := entry.labelling.new:
            set_labels(connection, values, labels)
    return [Outcome.CREATED] * len(rows)


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
