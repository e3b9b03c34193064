"""The queue of blobs that have lost a reference or a root; see `contentdb.references`.

A writer that takes a reference away queues what it led to, in the same transaction: that alone
lets a collector find it. The queued time always changes: a collector that saw the old one will not
take the row out of the queue.
"""

from __future__ import annotations

import time

from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.index import statements
from contentdb.references import lost

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from sqlite3 import Connection
    from typing import Any

__all__ = ["drop_labels", "queue", "queue_back_referring", "queue_changed", "queue_lost"]


def queue(connection: Connection, namespace: str, digests: Iterable[str]) -> None:
    """Let the next collection look at these blobs; those of other namespaces are other rows."""
    now_ns = time.time_ns()
    rows = [{"namespace": namespace, "digest": digest, "now": now_ns} for digest in digests]
    if rows:
        connection.executemany(statements.QUEUE, rows)


def queue_lost(
    connection: Connection, key: dict[str, Any], labels: Iterable[tuple[str, str]]
) -> None:
    """Queue what a blob's labels kept that are gone or have another value now."""
    queue(connection, key["namespace"], sorted(lost(key["digest"], labels)))


def queue_changed(
    connection: Connection,
    key: dict[str, Any],
    old: Mapping[str, str],
    new: Mapping[str, str],
) -> None:
    """Queue what the labels kept that have another value in ``new``, or none."""
    gone = [(name, value) for name, value in old.items() if new.get(name) != value]
    queue_lost(connection, key, gone)


def drop_labels(connection: Connection, key: dict[str, Any]) -> None:
    """Remove all labels of a blob, and queue what they kept."""
    queue_lost(connection, key, connection.execute(statements.TAKE_LABELS, key).fetchall())


def queue_back_referring(connection: Connection, key: dict[str, Any]) -> None:
    """Queue the blobs whose labels say that this one, which is going, refers to them."""
    found = connection.execute(statements.BACK_REFERRING, key).fetchall()
    queue(connection, key["namespace"], [digest for (digest,) in found])
