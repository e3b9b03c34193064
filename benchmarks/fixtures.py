"""A store with many rows, made in seconds: through SQL, into a new index, without files.

What only the index answers (walks, labels, opening) cannot tell it from a filled store. The
adds measured on top of it find empty directories: the cost that grows is the index's.
"""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import contentdb

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["make_index"]

_LABELLED = 100
_SOME_TIME_NS = 1_700_000_000_000_000_000


def _digests(count: int) -> Iterator[str]:
    for number in range(count):
        yield f"sha256:{hashlib.sha256(number.to_bytes(8, 'little')).hexdigest()}"


def make_index(root: Path, rows: int) -> None:
    """Make a store whose index holds so many rows, a hundred of them labelled ``pick=yes``."""
    contentdb.open(root).close()
    digests = sorted(_digests(rows))
    with closing(sqlite3.connect(root / "index.sqlite", isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        database.executemany(
            "INSERT INTO blobs (namespace, digest, size, checksum, created_at, updated_at, state) "
            "VALUES ('default', ?, 1024, 0, ?, ?, 0)",
            ((digest, _SOME_TIME_NS, _SOME_TIME_NS) for digest in digests),
        )
        database.executemany(
            "INSERT INTO labels (namespace, digest, key, value) "
            "VALUES ('default', ?, 'pick', 'yes')",
            ((digest,) for digest in digests[:: max(1, rows // _LABELLED)][:_LABELLED]),
        )
        database.execute("COMMIT")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
