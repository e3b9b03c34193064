"""Ingests in the index: begin one or take it over, note its offset, end it, and list them."""

from __future__ import annotations

from contentdb.declared import Takeover
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.index import IngestRow, statements
from contentdb.local.index.bound import Bound
from contentdb.local.index.rows import find_ingest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from sqlite3 import Connection
    from typing import Any

__all__ = ["Ingests"]


class Ingests(Bound):
    """The transactions on ingests."""

    def begin(self, row: IngestRow, takeover: Takeover) -> IngestRow:
        """Begin an ingest, not durably, or take another writer's over, under the row's token.

        A row that is taken over is on disk then, as is all that was recorded before: its writer
        may have been killed between lowering its offset and the sync of that.

        Raise `FailedPreconditionError` if ``AGREE`` meets a contradiction; nothing changes then.
        """
        found: IngestRow | None = None

        def work(connection: Connection) -> IngestRow:
            nonlocal found
            found = find_ingest(connection, self._namespace, row.ref)
            return _begin(connection, self._namespace, row, found, takeover)

        merged = self._database.write(
            work, lambda connection: self._is_held(connection, row.ref, row.token), durable=False
        )
        if found is not None and found.token != row.token and self._database.durable:
            self._database.sync()
        return merged

    def _is_held(self, connection: Connection, ref: str, token: str) -> bool:
        values = {"namespace": self._namespace, "ref": ref, "token": token}
        return connection.execute(statements.HOLDS, values).fetchone() is not None

    def pause(
        self, ref: str, token: str, offset: int, now_ns: int, *, durable: bool = False
    ) -> None:
        """Note a writer's offset: that many bytes are on disk, if its store is durable."""
        values: dict[str, Any] = {"namespace": self._namespace, "ref": ref, "token": token}
        values |= {"offset": offset, "now": now_ns}
        self._database.write(
            lambda connection: connection.execute(statements.PAUSE_INGEST, values).rowcount,
            lambda connection: not durable or self._has_offset(connection, ref, offset),
            durable=durable,
        )

    def _has_offset(self, connection: Connection, ref: str, offset: int) -> bool:
        found = find_ingest(connection, self._namespace, ref)
        return found is None or found.offset == offset

    def end(self, ref: str, token: str) -> bool:
        """Remove the row of an ingest, if it still has the token.

        Durable if it has an offset: a power cut must not bring that back beside the file of a later
        ingest of the ref.
        """
        values = {"namespace": self._namespace, "ref": ref, "token": token}
        offset = 0

        def work(connection: Connection) -> bool:
            nonlocal offset
            found = find_ingest(connection, self._namespace, ref)
            offset = 0 if found is None else found.offset
            return connection.execute(statements.END_INGEST, values).rowcount == 1

        ended = self._database.write(
            work, lambda connection: not self._is_held(connection, ref, token), durable=False
        )
        if ended and offset and self._database.durable:
            self._database.sync()
        return ended

    def ingest(self, ref: str) -> IngestRow | None:
        """Return the row of an ingest."""
        values = {"namespace": self._namespace, "ref": ref}
        row = self._database.one(statements.FIND_INGEST, values)
        return None if row is None else IngestRow._make(row)

    def ingests(self) -> Iterator[IngestRow]:
        """Yield all rows, by ref, read in pages; the caller may end ingests meanwhile.

        An ingest that begins or ends meanwhile may be yielded or not.
        """
        return map(IngestRow._make, self._read_paged(statements.INGESTS))

    def ingest_of(self, name: str) -> tuple[str, str] | None:
        """Return namespace and ref of the ingest whose file has that name."""
        row: tuple[str, str] | None = self._database.one(statements.INGEST_OF_NAME, {"name": name})
        return row

    def find_ingests_named(self, names: Sequence[str]) -> set[str]:
        """Return those of some hundred names that are an ingest's file, in any namespace."""
        with self._database.snapshot() as connection:
            rows = connection.execute(statements.ingests_named(len(names)), names).fetchall()
        return {name for (name,) in rows}


def _begin(
    connection: Connection,
    namespace: str,
    row: IngestRow,
    found: IngestRow | None,
    takeover: Takeover,
) -> IngestRow:
    """Begin an ingest or take it over, under the row's token; return its row as it is then.

    Raises:
        FailedPreconditionError: The row contradicts what was declared before.
    """
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
    total, expected, metadata = found.declared.taken_over(found.ref, new.declared, takeover)
    new = new._replace(total=total, expected=expected, metadata=metadata, offset=found.offset)
    if takeover is Takeover.ANEW:
        return new
    return new._replace(started_ns=found.started_ns, updated_ns=found.updated_ns)
