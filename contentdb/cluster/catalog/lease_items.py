"""What a lease keeps: its items. Each change is one transaction, and queues what it lets go of."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from contentdb.cluster.catalog.leases import IS_ALIVE, check_lives
from contentdb.cluster.catalog.queue import enqueue
from contentdb.content import LeaseItem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentdb.cluster.catalog.leases import LeaseKey
    from contentdb.cluster.sql import Connection, Database

__all__ = ["CONTENT", "add_item", "drop_item", "hash_item", "is_leased", "items", "let_go"]

CONTENT: Final = "content"
"""The kind of an item that is a blob."""
_ITEMS: Final = """
SELECT kind, name FROM lease_items WHERE lease = %(lease)s ORDER BY kind, name"""
_FEW: Final = 250
"""A list of at most so many items needs no connection of its own."""
_ADD_ITEM: Final = """
INSERT INTO lease_items (lease, item_hash, namespace, kind, name)
VALUES (%(lease)s, %(hash)s, %(namespace)s, %(kind)s, %(name)s) ON CONFLICT DO NOTHING"""
_DROP_ITEM: Final = "DELETE FROM lease_items WHERE lease = %(lease)s AND item_hash = %(hash)s"
_DROP_SOME: Final = """
DELETE FROM lease_items WHERE lease = %(lease)s AND item_hash = ANY (ARRAY(
    SELECT item_hash FROM lease_items WHERE lease = %(lease)s LIMIT 500)) RETURNING kind, name"""
_DROP: Final = """
DELETE FROM leases l WHERE token = %(lease)s
AND NOT EXISTS (SELECT 1 FROM lease_items i WHERE i.lease = l.token)"""
_OVER: Final = f"""
SELECT 1 FROM leases l WHERE l.token = %(lease)s AND NOT {IS_ALIVE} FOR UPDATE"""  # noqa: S608 - constants
_LEASED: Final = f"""
SELECT 1 FROM lease_items i JOIN leases l ON l.token = i.lease
WHERE i.namespace = %(namespace)s AND i.item_hash = %(hash)s AND {IS_ALIVE} LIMIT 1"""  # noqa: S608 - constants


def hash_item(kind: str, name: str) -> bytes:
    """Return what an item is found by: an index holds no name of 4096 bytes."""
    return hashlib.sha256(f"{len(kind)}:{kind}{name}".encode()).digest()


def items(database: Database, lease: LeaseKey) -> Iterator[LeaseItem]:
    """Yield the items, by kind and name, from one statement, in bounded memory."""
    values = {"lease": lease.token}
    few = database.rows(f"{_ITEMS} LIMIT {_FEW + 1}", values)
    if len(few) <= _FEW:
        for row in few:
            yield LeaseItem(*row)
        return
    del few
    with database.streaming(_ITEMS, values) as rows:
        for row in rows:
            yield LeaseItem(*row)


def _item(namespace: str, lease: LeaseKey, item: LeaseItem) -> dict[str, Any]:
    return {
        "lease": lease.token,
        "namespace": namespace,
        "hash": hash_item(*item),
        "kind": item.kind,
        "name": item.name,
    }


def add_item(database: Database, namespace: str, lease: LeaseKey, item: LeaseItem) -> None:
    """Add an item, whether it is there or not; durable.

    Raises:
        LeaseEndedError: The lease has ended.
    """

    def work(connection: Connection[Any]) -> None:
        check_lives(connection, lease)
        connection.execute(_ADD_ITEM, _item(namespace, lease, item))

    database.transact(work)


def drop_item(database: Database, namespace: str, lease: LeaseKey, item: LeaseItem) -> None:
    """Drop an item, and let a collector look at what it kept; durable.

    Raises:
        LeaseEndedError: The lease has ended.
    """

    def work(connection: Connection[Any]) -> None:
        check_lives(connection, lease)
        connection.execute(_DROP_ITEM, _item(namespace, lease, item))
        if item.kind == CONTENT:
            enqueue(connection, namespace, [item.name])

    database.transact(work)


def let_go(database: Database, namespace: str, lease: LeaseKey) -> None:
    """Remove a lease that has ended, some items in each transaction; all that is left is queued.

    If it is cut off, the next collection goes on.
    """

    def work(connection: Connection[Any]) -> int:
        if connection.execute(_OVER, {"lease": lease.token}).fetchone() is None:
            return 0
        rows = connection.execute(_DROP_SOME, {"lease": lease.token}).fetchall()
        enqueue(connection, namespace, [name for kind, name in rows if kind == CONTENT])
        connection.execute(_DROP, {"lease": lease.token})
        return len(rows)

    while database.transact(work):
        pass


def is_leased(database: Database, namespace: str, kind: str, name: str) -> bool:
    """Return whether a live lease has an item."""
    values = {"namespace": namespace, "hash": hash_item(kind, name)}
    return bool(database.rows(_LEASED, values))
