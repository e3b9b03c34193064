"""Record blobs: their rows, their labels and the end of their ingests, within a transaction.

Upkeep may find a file after it got its name and before it has a row, and adopt it. The commit then
recognises that row and makes it its own: a commit's time is even and stamped on its file, and an
adopted file and row get a time one nanosecond less, which no commit has.

Each outcome but GONE and FENCED tells a caller that the blob is stored: the row becomes fresh, and
the entry's lease gets it, in the same transaction.
"""

from __future__ import annotations

import time

from contentdb.labels import NO_LABELS
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.index import Outcome, State, statements
from contentdb.local.index.grace import COLLECTING_SINCE, GRACE_NS, Review, review
from contentdb.local.index.leasing import CONTENT, add_items, is_kept
from contentdb.local.index.references import drop_labels
from contentdb.local.index.reservations import use_reservations
from contentdb.local.index.rows import (
    find_blob,
    has_labels,
    key_of,
    lacking,
    merge_labels,
    move_blob,
    replace_labels,
    set_labels,
    state_of,
    who_needs,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from sqlite3 import Connection
    from typing import Any, Final

    from contentdb.local.index import Blob, Entry

__all__ = ["adopt", "insert_all", "is_recorded", "record"]

_LEFT_ALONE: Final = Review(0, 0)
"""For rows that no collection looks at by itself."""


def record(
    namespace: str, entries: Sequence[Entry], connection: Connection, *, anew: bool = False
) -> list[Outcome]:
    """Insert blobs and end their ingests; return the outcomes, in the order of the entries.

    With ``anew`` no caller was told that they are stored: their rows were lost long ago.

    Raises:
        LeaseEndedError: The lease of an entry has ended.
    """
    if len(entries) > 1 and (outcomes := insert_all(connection, namespace, entries, anew=anew)):
        return outcomes
    until = _review_of_found(connection) if anew else review()
    return [_record(connection, namespace, entry, until) for entry in entries]


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
    if blob.review_ns is None or blob.review_ns < time.time_ns() + GRACE_NS:
        return False
    if entry.lease is not None and not is_kept(connection, namespace, entry.lease, entry.digest):
        return False
    values = {"namespace": namespace, "ref": entry.ref, "token": entry.token}
    return entry.token is None or connection.execute(statements.HOLDS, values).fetchone() is None


def _record(connection: Connection, namespace: str, entry: Entry, until: Review) -> Outcome:
    token = entry.token
    values = _values(namespace, entry, entry.now_ns, until)
    values |= {"ref": entry.ref, "token": token, "below": until.below_ns}
    if token is not None and connection.execute(statements.HOLDS, values).fetchone() is None:
        return Outcome.FENCED
    if not _is_there(entry):
        return Outcome.GONE
    if entry.only_if is not None and state_of(connection, values) not in entry.only_if:
        return Outcome.GONE
    if connection.execute(statements.INSERT_BLOB, values).rowcount == 1:
        entry.stamp(entry.now_ns)
        outcome = Outcome.CREATED
    else:
        outcome = _revive(connection, entry, values)
    if entry.labelling is not NO_LABELS:
        _label(connection, entry, outcome, values)
    use_reservations(connection, namespace, [entry])
    if entry.lease is not None:
        add_items(connection, namespace, entry.lease, [(CONTENT, entry.digest)])
    if token is not None:
        connection.execute(statements.END_INGEST, values)
    return outcome


def _label(connection: Connection, entry: Entry, outcome: Outcome, values: dict[str, Any]) -> None:
    labels = entry.labelling
    if outcome is Outcome.CREATED:
        set_labels(connection, values, labels.new)
    elif outcome is Outcome.EXISTS:
        merge_labels(connection, values, labels.stored, entry.now_ns, _make_stamp(entry))
    elif (stored := lacking(connection, values, labels.stored)) is not None:
        replace_labels(connection, values, stored, labels.stored)  # its row has a new time already


def _is_there(entry: Entry) -> bool:
    """Return whether the blob's file has its name, or its record is on disk."""
    return entry.location is not None or entry.present()


def _revive(connection: Connection, entry: Entry, values: dict[str, Any]) -> Outcome:
    """Make a row live that exists already, and give the file its time."""
    blob = find_blob(connection, values)
    if blob is None or blob.state != State.LIVE:
        if blob is not None and blob.state == State.TOMBSTONE:
            drop_labels(connection, values)  # a collector may not have got so far
            _end_record(connection, entry, blob, values)
        entry.stamp(entry.now_ns)
        connection.execute(statements.REVIVE_BLOB, values)
        was_damaged = blob is not None and blob.state == State.DAMAGED
        return Outcome.HEALED if was_damaged else Outcome.CREATED
    if entry.location is not None:
        entry.present()  # it may have a file too, which vouches for what processes have cached
        if not entry.has_content(blob):
            move_blob(connection, entry.digest, blob.location, entry.location)
        connection.execute(statements.MEET, values)
        return Outcome.EXISTS
    if not _is_adopted(blob, entry):
        entry.stamp(blob.updated_ns)
        connection.execute(statements.MEET, values)
        return Outcome.EXISTS
    (updated_ns,) = connection.execute(statements.OWN_BLOB, values).fetchone()
    entry.stamp(updated_ns, instead_of_ns=blob.updated_ns)
    return Outcome.CREATED if blob.created_ns == entry.now_ns - 1 else Outcome.HEALED


def _end_record(connection: Connection, entry: Entry, blob: Blob, values: dict[str, Any]) -> None:
    """Mark the record of a tombstone that becomes a row again: afterwards nothing leads to it.

    Its delete was cut off before that, or is about to do it: seldom.
    """
    if blob.location is None:
        return
    is_in_place, is_elsewhere = who_needs(connection, values, blob.location)
    if not is_in_place:
        entry.end_record(blob.location, is_elsewhere=is_elsewhere)


def _make_stamp(entry: Entry) -> Callable[[Blob, int], object]:
    """Return a function that gives the entry's file a new time, if it has its row's old one."""
    return lambda blob, moved_ns: entry.stamp(moved_ns, instead_of_ns=blob.updated_ns)


def insert_all(
    connection: Connection, namespace: str, entries: Sequence[Entry], *, anew: bool = False
) -> list[Outcome] | None:
    """Insert a group in one statement; return None if not all of it is new, which is rare."""
    if any(entry.token or entry.only_if for entry in entries):
        return None
    if not all(entry.location or entry.present() for entry in entries):
        return None
    connection.execute("SAVEPOINT together")
    until = _review_of_found(connection) if anew else review()
    rows = [_values(namespace, entry, entry.now_ns, until) for entry in entries]
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
    use_reservations(connection, namespace, entries)
    for lease in {entry.lease for entry in entries}:
        if lease is not None:
            own = [(CONTENT, str(entry.digest)) for entry in entries if entry.lease == lease]
            add_items(connection, namespace, lease, own)
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
    until = _review_of_found(connection)
    connection.execute(statement, _values(namespace, entry, entry.now_ns - 1, until))
    return True


def _review_of_found(connection: Connection) -> Review:
    """Return the times for a row that is made anew from a file or a record.

    Where collections are made it is fresh for a grace, as if it were stored now. Where none was
    made, or an index made anew has forgotten them and the tags, no collection looks at it.
    """
    found = connection.execute(statements.FIND_SETTING, {"name": COLLECTING_SINCE}).fetchone()
    return _LEFT_ALONE if found is None else review()


def _values(namespace: str, entry: Entry, moment_ns: int, until: Review) -> dict[str, Any]:
    return {
        "namespace": namespace,
        "digest": str(entry.digest),
        "size": entry.size,
        "checksum": entry.checksum,
        "now": moment_ns,
        "review": until.at_ns or None,
        "pack": None if entry.location is None else entry.location.pack,
        "offset": None if entry.location is None else entry.location.offset,
    }
