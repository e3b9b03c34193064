"""Begin an ingest, or take one over, within a transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentdb.declared import Takeover, contradiction
from contentdb.local.index import statements
from contentdb.local.index.rows import find_ingest

if TYPE_CHECKING:
    from sqlite3 import Connection

    from contentdb.local.index import IngestRow

__all__ = ["begin"]


def begin(connection: Connection, namespace: str, row: IngestRow, takeover: Takeover) -> IngestRow:
    """Begin an ingest or take it over, under the row's token; return its row as it is then.

    Raises:
        FailedPreconditionError: The row contradicts what was declared before.
    """
    found = find_ingest(connection, namespace, row.ref)
    merged = row if found is None else _take_over(found, row, takeover)
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
            "started": merged.started_ns,
            "updated": merged.updated_ns,
            "holder": merged.holder,
            "now": merged.held_since_ns,
            "metadata": merged.metadata,
        },
    )
    return merged


def _take_over(found: IngestRow, new: IngestRow, takeover: Takeover) -> IngestRow:
    if takeover is Takeover.ANEW:
        return new._replace(offset=found.offset)
    if takeover is Takeover.AGREE:
        _check_agrees(found, new)
    if takeover is Takeover.AGREE or (takeover is Takeover.PREFER and not _voids(found, new)):
        total = found.total if new.total is None else new.total
        new = new._replace(total=total, expected=new.expected or found.expected)
    if new.metadata is None or takeover is Takeover.PREFER:
        new = new._replace(metadata=found.metadata)
    return new._replace(
        offset=found.offset, started_ns=found.started_ns, updated_ns=found.updated_ns
    )


def _voids(found: IngestRow, new: IngestRow) -> bool:
    """Return whether the new declarations replace all earlier ones."""
    return new.expected is not None or (
        None not in {found.total, new.total} and found.total != new.total
    )


def _check_agrees(found: IngestRow, new: IngestRow) -> None:
    """Raise if a new declaration contradicts the earlier one; it may add to it."""
    if None not in {found.total, new.total} and found.total != new.total:
        raise contradiction(found.ref, f"a total of {found.total} bytes, not {new.total}")
    if None not in {found.expected, new.expected} and found.expected != new.expected:
        raise contradiction(found.ref, f"content {found.expected}, not {new.expected}")
