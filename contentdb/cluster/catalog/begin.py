"""Begins an ingest, or takes one over whose holder is gone."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Final

from contentdb.cluster.catalog.ingests import (
    COLUMNS,
    FIND,
    KEY,
    IngestRow,
    declarations,
    hash_ref,
    locked_error,
    row_of,
)
from contentdb.cluster.catalog.record import trash
from contentdb.cluster.extents import pack_runs
from contentdb.cluster.session import holder
from contentdb.cluster.sql import NOW_NS, Jsonb
from contentdb.declared import Takeover
from contentdb.errors import AlreadyExistsError, RefLockedError

if TYPE_CHECKING:
    from contentdb.cluster.session import Session
    from contentdb.cluster.sql import Connection, Database
    from contentdb.declared import Declared

__all__ = ["begin"]

_INSERT: Final = f"""
INSERT INTO ingests (namespace, ref_hash, ref, token, session, total, expected, metadata,
    started_ns, updated_ns, holder, held_since_ns)
SELECT %(namespace)s, %(ref_hash)s, %(ref)s, %(token)s, %(session)s, %(total)s, %(expected)s,
    %(metadata)s, t.now, t.now, %(holder)s, t.now FROM (SELECT {NOW_NS} AS now) t
ON CONFLICT DO NOTHING RETURNING {COLUMNS}"""  # noqa: S608 - constants
_TAKE_OVER: Final = f"""
UPDATE ingests SET token = %(token)s, session = %(session)s, total = %(total)s,
    expected = %(expected)s, metadata = %(metadata)s, "offset" = %(offset)s, runs = %(runs)s,
    started_ns = coalesce(%(started)s, {NOW_NS}), updated_ns = coalesce(%(updated)s, {NOW_NS}),
    holder = %(holder)s, held_since_ns = {NOW_NS}
WHERE {KEY} RETURNING {COLUMNS}"""  # noqa: S608 - constants
_STORED: Final = """
SELECT 1 FROM blobs b JOIN objects o USING (digest)
WHERE b.namespace = %(namespace)s AND b.digest = %(expected)s AND NOT o.damaged"""


def begin(
    database: Database,
    session: Session,
    namespace: str,
    ref: str,
    declared: Declared,
    takeover: Takeover,
) -> IngestRow:
    """Begin an ingest, or take one over whose holder is gone, under a new token.

    Raises:
        AlreadyExistsError: The expected content is stored; nothing changed.
        RefLockedError: A live writer holds the ref.
        FailedPreconditionError: ``AGREE`` meets a contradiction; nothing changed.
    """
    token = str(uuid.uuid4())
    values: dict[str, Any] = {
        "namespace": namespace,
        "ref_hash": hash_ref(ref),
        "ref": ref,
        "token": token,
        "session": session.id,
        "holder": holder(),
        **declarations(declared),
    }
    session.tokens.add(
        token
    )  # before the row can be seen, so that no thread takes it for a dead one's

    def work(connection: Connection[Any]) -> IngestRow:
        if declared.expected and connection.execute(_STORED, values).fetchone():
            raise AlreadyExistsError(declared.expected)
        made = connection.execute(_INSERT, values).fetchone()
        if made is not None:
            return row_of(made)
        found = connection.execute(f"{FIND} FOR UPDATE", values).fetchone()
        if found is None:  # it ended between the two statements
            raise RefLockedError(ref)
        row = row_of(found)
        if row.token == token:  # a COMMIT's answer was lost
            return row
        if row.is_held(session):
            raise locked_error(row, ref)
        return _take_over(connection, row, values, declared, takeover)

    try:
        return database.transact(work)
    except BaseException:
        session.tokens.discard(token)
        raise


def _take_over(
    connection: Connection[Any],
    found: IngestRow,
    values: dict[str, Any],
    declared: Declared,
    takeover: Takeover,
) -> IngestRow:
    if takeover is Takeover.AGREE:
        found.declared.check_room(found.ref, declared, found.offset)
    merged = found.declared.taken_over(found.ref, declared, takeover)
    kept: dict[str, Any] = {"started": found.started_ns, "updated": found.updated_ns}
    kept |= {"offset": found.offset, "runs": Jsonb(pack_runs(found.runs))}
    if takeover is Takeover.ANEW:
        trash(connection, found.runs)
        kept = {"started": None, "updated": None, "offset": 0, "runs": Jsonb([])}
    taken = connection.execute(_TAKE_OVER, values | declarations(merged) | kept).fetchone()
    assert taken is not None  # noqa: S101 - its row is locked
    return row_of(taken)
