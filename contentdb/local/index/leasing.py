"""Add blobs to a lease, within the transaction that records them or finds them stored."""

from __future__ import annotations

import time

from contentdb.errors import LeaseEndedError
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.index import statements

if TYPE_CHECKING:
    from collections.abc import Iterable
    from sqlite3 import Connection
    from typing import Any, Final

    from contentdb.local.index import LeaseKey

__all__ = ["CONTENT", "add_items", "check_lives", "is_alive", "is_kept", "lease_values"]

CONTENT: Final = "content"
"""The kind of an item that is a blob."""


def lease_values(namespace: str, lease: LeaseKey) -> dict[str, Any]:
    """Return the values that name a lease in a statement."""
    return {"namespace": namespace, "id": lease.id, "created": lease.created_ns}


def is_alive(connection: Connection, namespace: str, lease: LeaseKey) -> bool:
    """Return whether a lease has a row and no time or call has ended it."""
    values = lease_values(namespace, lease) | {"now": time.time_ns()}
    return connection.execute(statements.LEASE_LIVES, values).fetchone() is not None


def check_lives(connection: Connection, namespace: str, lease: LeaseKey) -> None:
    """Raise `LeaseEndedError` unless `is_alive`."""
    if not is_alive(connection, namespace, lease):
        raise LeaseEndedError(lease.id)


def add_items(
    connection: Connection, namespace: str, lease: LeaseKey, items: Iterable[tuple[str, str]]
) -> None:
    """Add items, each of a kind and a name, to a lease, unless it has them.

    Raises:
        LeaseEndedError: The lease has ended; the caller's transaction must not go on.
    """
    check_lives(connection, namespace, lease)
    values = lease_values(namespace, lease)
    rows = [values | {"kind": kind, "item": name} for kind, name in items]
    connection.executemany(statements.ADD_LEASE_ITEM, rows)


def is_kept(connection: Connection, namespace: str, lease: LeaseKey, digest: str) -> bool:
    """Return whether a lease has a blob among its items."""
    values = lease_values(namespace, lease) | {"kind": CONTENT, "item": str(digest)}
    return connection.execute(statements.HAS_LEASE_ITEM, values).fetchone() is not None
