"""Beginning an ingest, or taking one over, within a transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentdb.errors import FailedPreconditionError
from contentdb.index import statements
from contentdb.index.rows import find_ingest

if TYPE_CHECKING:
    from sqlite3 import Connection

    from contentdb.index import IngestRow

__all__ = ["begin"]


def begin(connection: Connection, namespace: str, row: IngestRow, *, redeclare: bool) -> IngestRow:
    """Put an ingest under the row's token; the row as it stands then.

    Raises:
        FailedPreconditionError: The row contradicts what was declared before.
    """
    merged = row
    found = find_ingest(connection, namespace, row.ref)
    if found is not None:
        merged = _merge(found, row) if not redeclare else _replace(found, row)
    connection.execute(
        statements.BEGIN_INGEST,
        {
            "namespace": namespace,
            "ref": merged.ref,
            "name": merged.name,
            "token": merged.token,
            "total": merged.total,
            "expected": merged.expected,
            "offset": merged.offset,
            "holder": merged.holder,
            "now": row.started_ns,
            "metadata": merged.metadata,
        },
    )
    return merged


def _merge(found: IngestRow, new: IngestRow) -> IngestRow:
    """Keep what was declared before; a new declaration may add to it, not contradict it."""
    if None not in {found.total, new.total} and found.total != new.total:
        raise _contradiction(found, f"a total of {found.total} bytes, not {new.total}")
    if None not in {found.expected, new.expected} and found.expected != new.expected:
        raise _contradiction(found, f"content {found.expected}, not {new.expected}")
    return _replace(
        found,
        new._replace(
            total=found.total if new.total is None else new.total,
            expected=new.expected or found.expected,
        ),
    )


def _contradiction(found: IngestRow, declared: str) -> FailedPreconditionError:
    return FailedPreconditionError(
        f"ref {found.ref!r:.80} was begun for {declared}; resume it as it was begun, or abort it"
    )


def _replace(found: IngestRow, new: IngestRow) -> IngestRow:
    return new._replace(
        offset=found.offset, started_ns=found.started_ns, updated_ns=found.updated_ns
    )
