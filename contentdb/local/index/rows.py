"""Single rows of the index, read and changed within a transaction."""

from __future__ import annotations

from contentdb.labels import check_total_labels
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.index import Blob, IngestRow, Location, statements
from contentdb.local.index.references import queue_changed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from sqlite3 import Connection
    from typing import Any

__all__ = [
    "find_blob",
    "find_ingest",
    "find_labels",
    "has_labels",
    "key_of",
    "lacking",
    "merge_labels",
    "move_blob",
    "place_of",
    "points_to",
    "replace_labels",
    "set_labels",
    "state_of",
    "touch",
    "who_needs",
]


def key_of(namespace: str, digest: str) -> dict[str, Any]:
    """Return the values that name a blob in a statement."""
    return {"namespace": namespace, "digest": str(digest)}


def find_blob(connection: Connection, key: dict[str, Any]) -> Blob | None:
    """Return the row of a blob, tombstones included."""
    row = connection.execute(statements.FIND_BLOB, key).fetchone()
    return None if row is None else Blob._make(row)


def state_of(connection: Connection, key: dict[str, Any]) -> int | None:
    """Return the state of a row, or None if there is none."""
    blob = find_blob(connection, key)
    return None if blob is None else blob.state


def find_labels(connection: Connection, key: dict[str, Any]) -> dict[str, str]:
    """Return all labels of a blob."""
    return dict(connection.execute(statements.FIND_LABELS, key).fetchall())


def set_labels(connection: Connection, key: dict[str, Any], labels: Mapping[str, str]) -> None:
    """Set labels on a blob; they replace those with the same key."""
    if labels:
        rows = [key | {"key": name, "value": value} for name, value in labels.items()]
        connection.executemany(statements.SET_LABEL, rows)


def has_labels(connection: Connection, key: dict[str, Any], labels: Mapping[str, str]) -> bool:
    """Return whether a blob has all these labels, and perhaps others."""
    return not labels or labels.items() <= find_labels(connection, key).items()


def merge_labels(
    connection: Connection,
    key: dict[str, Any],
    labels: Mapping[str, str],
    now_ns: int,
    stamp: Callable[[Blob, int], object],
) -> None:
    """Set labels on a live blob, unless it has them all; they replace those with the same key."""
    stored = lacking(connection, key, labels)
    if stored is not None:
        touch(connection, key, now_ns, stamp)
        replace_labels(connection, key, stored, labels)


def lacking(
    connection: Connection, key: dict[str, Any], labels: Mapping[str, str]
) -> dict[str, str] | None:
    """Return the labels of a blob that lacks any of these, else None; raise if it had too many."""
    if not labels:
        return None
    stored = find_labels(connection, key)
    if labels.items() <= stored.items():
        return None
    check_total_labels({**stored, **labels}, stored)
    return stored


def replace_labels(
    connection: Connection,
    key: dict[str, Any],
    stored: Mapping[str, str],
    labels: Mapping[str, str],
) -> None:
    """Set labels on a blob that has those ``stored``; queue what replaced ones have kept."""
    set_labels(connection, key, labels)
    queue_changed(connection, key, {k: v for k, v in stored.items() if k in labels}, labels)


def touch(
    connection: Connection, key: dict[str, Any], now_ns: int, stamp: Callable[[Blob, int], object]
) -> int:
    """Set a blob's time of update, after ``stamp`` has set that of its file; return the time."""
    blob = find_blob(connection, key)
    if blob is None:
        return now_ns
    moved_ns = max(now_ns, blob.updated_ns + 1)
    stamp(blob, moved_ns)
    connection.execute(statements.TOUCH_BLOB, key | {"now": moved_ns})
    return moved_ns


def place_of(digest: str, location: Location, *, tombstones: bool = False) -> dict[str, Any]:
    """Return the values that name a blob's record in a statement."""
    return {"digest": str(digest), "tombstones": tombstones} | location._asdict()


def points_to(connection: Connection, digest: str, location: Location) -> bool:
    """Return whether a row of any namespace, no tombstone, points to a record."""
    found = connection.execute(statements.IN_PLACE, place_of(digest, location)).fetchone()
    return found is not None


def who_needs(connection: Connection, key: dict[str, Any], location: Location) -> tuple[bool, bool]:
    """Return whether a row points to a record, and whether another namespace has its blob."""
    values = key | place_of(key["digest"], location)
    points, others = connection.execute(statements.WHO_NEEDS, values).fetchone()
    return bool(points), bool(others)


def move_blob(connection: Connection, digest: str, old: Location | None, new: Location) -> bool:
    """Let the live rows that point to a record, or to a file for None, point to another record.

    Those of all namespaces. Return False if there is none.
    """
    pack, offset = old or (None, None)
    values = {"digest": str(digest), "pack": pack, "offset": offset}
    values |= {"new_pack": new.pack, "new_offset": new.offset}
    return connection.execute(statements.MOVE_BLOB, values).rowcount > 0


def find_ingest(connection: Connection, namespace: str, ref: str) -> IngestRow | None:
    """Return the row of an ingest."""
    values = {"namespace": namespace, "ref": ref}
    row = connection.execute(statements.FIND_INGEST, values).fetchone()
    return None if row is None else IngestRow._make(row)
