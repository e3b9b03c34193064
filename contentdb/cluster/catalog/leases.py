"""Rows of leases: begun, found, ended. Each change is one transaction.

A lease that is held has the session of its process. A call that finds that session's lock free
ends the lease in the same transaction; a fence of the session ends it too. A call that keeps
something by a lease locks its row first, so that nothing is kept by one that has ended.
"""

from __future__ import annotations

import hashlib
import uuid
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from contentdb.cluster.session import LIVES, holder
from contentdb.cluster.sql import NOW_NS, Jsonb
from contentdb.content import LeaseInfo
from contentdb.errors import LeaseEndedError, LeaseExistsError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from contentdb.cluster.session import Session
    from contentdb.cluster.sql import Connection, Database

__all__ = [
    "IS_ALIVE",
    "LeaseKey",
    "LeaseRow",
    "begin",
    "check_lives",
    "dead",
    "end",
    "find",
    "find_own",
    "listed",
]

IS_ALIVE: Final = f"""(NOT l.ended AND (l.expires_ns IS NULL OR l.expires_ns > {NOW_NS})
AND (l.session IS NULL OR EXISTS (SELECT 1 FROM sessions s WHERE s.id = l.session
AND NOT s.fenced)))"""  # noqa: S608 - a constant
"""SQL for whether a lease ``l`` keeps what it has; a dead process's does until a call ends it."""
_COLUMNS: Final = f"""l.token::text, l.id, l.created_ns, l.expires_ns, l.flat, l.holder, l.labels,
l.session, {IS_ALIVE}, l.session IS NULL OR {LIVES.format(session="l.session")}"""
_KEY: Final = "l.namespace = %(namespace)s AND l.id_hash = %(id_hash)s AND NOT l.ended"
_FIND: Final = f"SELECT {_COLUMNS} FROM leases l WHERE {_KEY}"  # noqa: S608 - constants
_OWN: Final = f"SELECT {_COLUMNS} FROM leases l WHERE l.token = %(lease)s"  # noqa: S608 - constants
_PAGE: Final = f"""
SELECT {_COLUMNS} FROM leases l WHERE l.namespace = %(namespace)s AND NOT l.ended
AND left(l.id, 500) >= left(%(after)s, 500) AND l.id > %(after)s
ORDER BY left(l.id, 500), l.id LIMIT 250"""  # noqa: S608 - constants
_ENDED: Final = f"""
SELECT {_COLUMNS} FROM leases l WHERE l.namespace = %(namespace)s
AND (l.ended OR NOT {IS_ALIVE} OR l.session IS NOT NULL) ORDER BY l.token"""  # noqa: S608 - constants
_INSERT: Final = f"""
INSERT INTO leases (token, namespace, id_hash, id, session, holder, flat, labels, created_ns,
    expires_ns)
SELECT %(token)s, %(namespace)s, %(id_hash)s, %(id)s, %(session)s, %(holder)s, %(flat)s,
    %(labels)s, t.now, t.now + %(left)s FROM (SELECT {NOW_NS} AS now) t
ON CONFLICT DO NOTHING"""  # noqa: S608 - constants
_LIVES: Final = f"SELECT 1 FROM leases l WHERE l.token = %(lease)s AND {IS_ALIVE} FOR SHARE OF l"  # noqa: S608 - constants
_TRY: Final = "SELECT pg_try_advisory_xact_lock(%(session)s)"
_END: Final = "UPDATE leases SET ended = true WHERE token = %(lease)s AND NOT ended"


class LeaseKey(NamedTuple):
    """Which lease it is: another one may get the same id later."""

    id: str
    token: str


class LeaseRow(NamedTuple):
    """What the row of a lease says."""

    token: str
    id: str
    created_ns: int
    expires_ns: int | None
    flat: bool
    holder: str | None
    labels: Mapping[str, str]
    session: int | None
    is_alive: bool
    """Whether no call, no time and no fence has ended it."""
    is_held: bool
    """Whether its holder's process lives, as far as the server knows; True if it needs none."""

    @property
    def key(self) -> LeaseKey:
        """Which lease it is."""
        return LeaseKey(self.id, self.token)

    @property
    def lives(self) -> bool:
        """Whether it has not ended, and its holder has not died."""
        return self.is_alive and self.is_held

    @property
    def info(self) -> LeaseInfo:
        """What its callers may know."""
        return LeaseInfo(*self[1:7])


def _key(namespace: str, id_: str) -> dict[str, Any]:
    return {"namespace": namespace, "id_hash": hashlib.sha256(id_.encode()).digest(), "id": id_}


def begin(
    database: Database,
    namespace: str,
    id_: str,
    session: Session | None,
    left_ns: int | None,
    labels: Mapping[str, str],
    *,
    flat: bool,
) -> tuple[LeaseKey, LeaseKey | None]:
    """Begin a lease; durable on return. Return also one that had the id, to be let go of.

    Args:
        database: Of the store.
        namespace: That the lease is in.
        id_: Its name.
        session: Of this process, if that holds the lease.
        left_ns: After so long it ends by itself, by the server's clock.
        labels: Texts to store with it.
        flat: Whether it keeps its items alone.

    Raises:
        LeaseExistsError: A live lease has that id.
    """
    made = LeaseKey(id_, str(uuid.uuid4()))
    values = _key(namespace, id_) | {
        "token": made.token,
        "session": None if session is None else session.id,
        "holder": None if session is None else holder(),
        "flat": flat,
        "labels": Jsonb(dict(labels)),
        "left": left_ns,
    }

    def work(connection: Connection[Any]) -> LeaseKey | None:
        found = connection.execute(f"{_FIND} FOR UPDATE OF l", values).fetchone()
        old = None if found is None else LeaseRow(*found)
        if old is not None:
            if old.token == made.token:  # a COMMIT's answer was lost
                return None
            if not _end_dead(connection, old):
                raise LeaseExistsError(id_)
        if connection.execute(_INSERT, values).rowcount != 1:
            raise LeaseExistsError(id_)  # it came between the two statements
        return None if old is None else old.key

    return made, database.transact(work)


def _end_dead(connection: Connection[Any], row: LeaseRow) -> bool:
    """End a lease that is dead, whose row is locked; return whether it is."""
    if row.is_alive:
        if row.session is None:
            return False
        taken = connection.execute(_TRY, {"session": row.session}).fetchone()
        if taken is None or not taken[0]:
            return False
    connection.execute(_END, {"lease": row.token})
    return True


def find(database: Database, namespace: str, id_: str) -> LeaseRow:
    """Return a live lease.

    Raises:
        NotFoundError: There is none of that id.
    """
    rows = database.rows(_FIND, _key(namespace, id_))
    row = LeaseRow(*rows[0]) if rows else None
    if row is None or not row.lives:
        raise NotFoundError(lease=id_)
    return row


def find_own(database: Database, lease: LeaseKey) -> LeaseRow:
    """Return the row of a lease; raise `LeaseEndedError`."""
    rows = database.rows(_OWN, {"lease": lease.token})
    row = LeaseRow(*rows[0]) if rows else None
    if row is None or not row.lives:
        raise LeaseEndedError(lease.id)
    return row


def listed(database: Database, namespace: str) -> Iterator[list[LeaseRow]]:
    """Yield pages of the leases that were not ended, by id; some may be dead."""
    values = {"namespace": namespace, "after": ""}
    while page := [LeaseRow(*row) for row in database.rows(_PAGE, values)]:
        yield page
        values["after"] = page[-1].id


def dead(database: Database, namespace: str, *, dry_run: bool) -> Iterator[LeaseKey]:
    """Yield the leases that have ended and keep something yet; those of dead processes end now.

    A dry run ends none.
    """
    for found in database.rows(_ENDED, {"namespace": namespace}):
        row = LeaseRow(*found)
        if row.is_alive and (row.is_held or dry_run or not _end_if_dead(database, row)):
            continue
        yield row.key


def _end_if_dead(database: Database, row: LeaseRow) -> bool:
    def work(connection: Connection[Any]) -> bool:
        found = connection.execute(f"{_OWN} FOR UPDATE OF l", {"lease": row.token}).fetchone()
        return found is not None and _end_dead(connection, LeaseRow(*found))

    return database.transact(work)


def check_lives(connection: Connection[Any], lease: LeaseKey) -> None:
    """Raise `LeaseEndedError` unless a lease lives, as it does then until the transaction ends."""
    if connection.execute(_LIVES, {"lease": lease.token}).fetchone() is None:
        raise LeaseEndedError(lease.id)


def end(database: Database, lease: LeaseKey) -> None:
    """End a lease, which keeps nothing from then on; durable. `let_go` is to follow."""
    database.change(_END, {"lease": lease.token})
