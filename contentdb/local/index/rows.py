"""Single rows of the index, read and changed within a transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from contentdb.labels import check_total_labels
from contentdb.local.index import Blob, IngestRow, statements

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from sqlite3 import Connection

__all__ = [
    "find_blob",
    "find_ingest",
    "find_labels",
    "has_labels",
    "key_of",
    "may_lack",
    "merge_labels",
    "set_labels",
    "state_of",
    "touch",
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
    if may_lack(connection, key, labels):
        touch(connection, key, now_ns, stamp)
        set_labels(connection, key, labels)


def may_lack(connection: Connection, key: dict[str, Any], labels: Mapping[str, str]) -> bool:
    """Return whether a blob lacks any of these labels; raise if it cannot have so many."""
    if not labels:
        return False
    stored = find_labels(connection, key)
    if labels.items() <= stored.items():
        return False
    check_total_labels({**stored, **labels}, stored)
    return True


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


def find_ingest(connection: Connection, namespace: str, ref: str) -> IngestRow | None:
    """Return the row of an ingest."""
    values = {"namespace": namespace, "ref": ref}
    row = connection.execute(statements.FIND_INGEST, values).fetchone()
    return None if row is None else IngestRow._make(row)
