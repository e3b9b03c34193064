"""Rows of ingests: note progress, let go, drop, list; `begin` is beside this.

The token, new for every writer, fences off a writer that has lost its ref: each of its statements
names it. Whether the holder lives is asked only to decide who may take a ref over.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from contentdb.cluster.catalog.record import trash
from contentdb.cluster.extents import Run, pack_runs, unpack_runs
from contentdb.cluster.session import LIVES, free_notice
from contentdb.cluster.sql import NOW_NS, Jsonb
from contentdb.declared import Declared
from contentdb.digest import Digest
from contentdb.errors import RefLockedError
from contentdb.metadata import unpack_metadata
from contentdb.values import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentdb.cluster.session import Session
    from contentdb.cluster.sql import Connection, Database

__all__ = [
    "COLUMNS",
    "FIND",
    "KEY",
    "IngestKey",
    "IngestRow",
    "declarations",
    "drop",
    "find",
    "hash_ref",
    "let_go",
    "listed",
    "locked_error",
    "progress",
    "redeclare",
    "row_of",
]

COLUMNS: Final = """ref, token::text, session, total, expected, metadata, "offset", runs,
started_ns, updated_ns, holder, held_since_ns"""
KEY: Final = "namespace = %(namespace)s AND ref_hash = %(ref_hash)s"
FIND: Final = f"""SELECT {COLUMNS}, {LIVES.format(session="session")}, {NOW_NS}
FROM ingests WHERE {KEY}"""  # noqa: S608 - constants
_PROGRESS: Final = f"""
WITH alive AS MATERIALIZED (
    SELECT 1 FROM sessions WHERE id = %(session)s AND NOT fenced FOR SHARE
)
UPDATE ingests SET "offset" = %(offset)s, runs = %(runs)s, updated_ns = {NOW_NS}
WHERE {KEY} AND token = %(token)s AND EXISTS (SELECT 1 FROM alive) RETURNING updated_ns"""  # noqa: S608 - constants
_REDECLARE: Final = f"""
UPDATE ingests SET total = %(total)s, expected = %(expected)s,
    metadata = coalesce(%(metadata)s, metadata)
WHERE {KEY} AND token = %(token)s RETURNING {COLUMNS}"""  # noqa: S608 - constants
_LET_GO: Final = f"""
UPDATE ingests SET session = NULL WHERE {KEY} AND token = %(token)s"""  # noqa: S608 - constants
_NOTIFY: Final = "SELECT pg_notify(%(channel)s, %(notice)s)"
_DROP: Final = f"DELETE FROM ingests WHERE {KEY}"  # noqa: S608 - constants
_PAGE: Final = f"""
SELECT {COLUMNS}, {LIVES.format(session="session")}, {NOW_NS} FROM ingests
WHERE namespace = %(namespace)s AND left(ref, 500) >= left(%(after)s, 500) AND ref > %(after)s
ORDER BY left(ref, 500), ref LIMIT 100"""  # noqa: S608 - constants


class IngestKey(NamedTuple):
    """What a writer of an ingest is known by."""

    namespace: str
    ref: str
    token: str

    @property
    def ref_hash(self) -> bytes:
        """What the rows are found by: an index holds no ref of 4096 bytes."""
        return hash_ref(self.ref)

    @property
    def values(self) -> dict[str, Any]:
        """The key as parameters of a statement."""
        return {"namespace": self.namespace, "ref_hash": self.ref_hash, "token": self.token}


class IngestRow(NamedTuple):
    """What the row of an ingest says."""

    ref: str
    token: str
    session: int | None
    total: int | None
    expected: str | None
    metadata: str | None
    offset: int
    runs: tuple[Run, ...]
    started_ns: int
    updated_ns: int
    holder: str
    held_since_ns: int
    lives: bool = True
    """Whether its holder's process does, as far as the server knows."""
    now_ns: int = 0

    @property
    def declared(self) -> Declared:
        """What its writers have declared."""
        expected = None if self.expected is None else Digest(self.expected)
        return Declared(self.total, expected, self.metadata)

    def status(self, offset: int, *, held: bool) -> Status:
        """Return the Status of the ingest; its writer may know more bytes than the row."""
        total, expected, metadata = self.declared
        times = self.started_ns, self.updated_ns
        return Status(
            self.ref, offset, total, expected, *times, held=held, metadata=unpack_metadata(metadata)
        )

    def is_held(self, session: Session) -> bool:
        """Return whether a writer that lives holds it."""
        return self.session is not None and (self.token in session.tokens or (
            self.lives and not session.is_mine(self.session)
        ))  # fmt: skip


def hash_ref(ref: str) -> bytes:
    """Return what the row of a ref is found by."""
    return hashlib.sha256(ref.encode()).digest()


def row_of(found: tuple[Any, ...]) -> IngestRow:
    """Return what a statement has found."""
    row = IngestRow(*found)
    return row._replace(runs=unpack_runs(found[7]))


def find(database: Database, namespace: str, ref: str) -> IngestRow | None:
    """Return the row of an ingest."""
    rows = database.rows(FIND, {"namespace": namespace, "ref_hash": hash_ref(ref)})
    return row_of(rows[0]) if rows else None


def listed(database: Database, namespace: str) -> Iterator[list[IngestRow]]:
    """Yield pages of the ingests, by ref; each page as it is when it is read."""
    values = {"namespace": namespace, "after": ""}
    while page := [row_of(row) for row in database.rows(_PAGE, values)]:
        yield page
        values["after"] = page[-1].ref


def locked_error(row: IngestRow | None, ref: str) -> RefLockedError:
    """Return the error for a ref that another writer holds."""
    if row is None:
        return RefLockedError(ref)
    held_s = max(0.0, (row.now_ns - row.held_since_ns) / 1e9)
    return RefLockedError(ref, held_s=held_s, holder=row.holder)


def progress(
    database: Database,
    key: IngestKey,
    session: int,
    offset: int,
    runs: tuple[Run, ...],
    spare: tuple[Run, ...] = (),
) -> int | None:
    """Note how far an ingest is, durably, and put objects that it needs no more into the trash.

    Return its time of update; None if another writer has taken it over, or the session that wrote
    the objects was judged dead, so that some may be gone.
    """
    values = key.values | {"session": session, "offset": offset, "runs": Jsonb(pack_runs(runs))}

    def work(connection: Connection[Any]) -> int | None:
        found = connection.execute(_PROGRESS, values).fetchone()
        if found is None:
            return None
        trash(connection, spare)
        return int(found[0])

    return database.transact(work, alone=not spare)


def declarations(declared: Declared) -> dict[str, Any]:
    """Return what a caller declares as parameters of a statement."""
    total, expected, metadata = declared
    return {
        "total": total,
        "expected": None if expected is None else str(expected),
        "metadata": metadata,
    }


def redeclare(database: Database, key: IngestKey, declared: Declared) -> IngestRow | None:
    """Replace what an ingest's writers have declared; None if another writer has it."""
    rows = database.rows(_REDECLARE, key.values | declarations(declared))
    return row_of(rows[0]) if rows else None


def let_go(database: Database, key: IngestKey, channel: str) -> None:
    """Free the ref, and wake those that wait for it."""

    def work(connection: Connection[Any]) -> None:
        if connection.execute(_LET_GO, key.values).rowcount:
            notify(connection, key, channel)

    database.transact(work)


def notify(connection: Connection[Any], key: IngestKey, channel: str) -> None:
    """Wake those that wait for a ref, once the transaction has committed."""
    notice = free_notice(key.namespace, key.ref)
    connection.execute(_NOTIFY, {"channel": channel, "notice": notice})


def drop(database: Database, session: Session, namespace: str, ref: str) -> bool:
    """Drop an ingest; return False if there is none.

    Raises:
        RefLockedError: A live writer holds it.
    """
    key = IngestKey(namespace, ref, "")

    def work(connection: Connection[Any]) -> bool:
        values = {"namespace": namespace, "ref_hash": key.ref_hash}
        found = connection.execute(f"{FIND} FOR UPDATE", values).fetchone()
        if found is None:
            return False
        row = row_of(found)
        if row.is_held(session):
            raise locked_error(row, ref)
        connection.execute(_DROP, values)
        trash(connection, row.runs)
        notify(connection, key, session.channel)
        return True

    return database.transact(work, repeatable=False)
