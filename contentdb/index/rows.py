"""Single rows of the index, as seen from within a transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from contentdb.index import Blob, IngestRow, statements

if TYPE_CHECKING:
    from collections.abc import Mapping
    from sqlite3 import Connection

__all__ = [
    "find_blob",
    "find_ingest",
    "find_labels",
    "has_token",
    "key_of",
    "set_labels",
    "state_of",
]


def key_of(namespace: str, digest: str) -> dict[str, Any]:
    """The values that name a blob in a statement."""
    return {"namespace": namespace, "digest": str(digest)}


def find_blob(connection: Connection, key: dict[str, Any]) -> Blob | None:
    """Look one row up, tombstones included."""
    row = connection.execute(statements.FIND_BLOB, key).fetchone()
    return None if row is None else Blob._make(row)


def state_of(connection: Connection, key: dict[str, Any]) -> int | None:
    """The state of a row, or None if there is none."""
    blob = find_blob(connection, key)
    return None if blob is None else blob.state


def find_labels(connection: Connection, key: dict[str, Any]) -> dict[str, str]:
    """All labels of a blob."""
    return dict(connection.execute(statements.FIND_LABELS, key).fetchall())


def set_labels(connection: Connection, key: dict[str, Any], labels: Mapping[str, str]) -> None:
    """Add labels to a blob, in place of those of the same name."""
    if labels:
        rows = [key | {"key": name, "value": value} for name, value in labels.items()]
        connection.executemany(statements.SET_LABEL, rows)


def find_ingest(connection: Connection, namespace: str, ref: str) -> IngestRow | None:
    """Look one row up."""
    values = {"namespace": namespace, "ref": ref}
    row = connection.execute(statements.FIND_INGEST, values).fetchone()
    return None if row is None else IngestRow._make(row)


def has_token(connection: Connection, namespace: str, ref: str, token: str) -> bool:
    """Whether an ingest is still its writer's own."""
    found = find_ingest(connection, namespace, ref)
    return found is not None and found.token == token
