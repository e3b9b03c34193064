"""Streaming blobs out of the index: in pages, out of one snapshot, in bounded memory.

In digest order and without filters a walk is one fixed statement along the primary key.
Filters and other orders are made into SQL by `contentdb.local.index.queries`.
"""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from contentdb.content import Info
from contentdb.local.index import statements
from contentdb.local.index.opening import corrupt

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from sqlite3 import Connection

    from contentdb.filters import Filter
    from contentdb.local.index.connection import Database

__all__ = ["walk"]

_PAGE_ROWS: Final = 1000
_PAGE_WEIGHT: Final = 2 << 20
"""About how many bytes of memory the labels of a page may take."""
_LABEL_WEIGHT: Final = 256
"""What two texts and their place in a dict take, beside their letters."""
_NO_LIMIT: Final = -1

_Labels: TypeAlias = "dict[str, dict[str, str]]"
"""By digest; a blob without any is left out."""
_LabelsOf: TypeAlias = "Callable[[Connection, str, list[Any]], Iterator[tuple[str, str, str]]]"
"""Asks for the labels of rows: digest, key and value of each."""


def walk(
    database: Database,
    namespace: str,
    chosen: Filter | None,
    sort: str,
    after: str | None,
    limit: int | None,
) -> Iterator[Info]:
    """Stream live blobs as of the start of the walk.

    A walk of up to a thousand blobs, with few labels, is read whole before the first is handed
    out. A longer one holds a snapshot until it ends or is closed.
    """
    if chosen is None and sort == "digest":
        values: dict[str, Any] = {
            "namespace": namespace,
            "after": after or "",
            "limit": _NO_LIMIT if limit is None else limit,
        }
        pages = _pages(database, statements.WALK, values, _labels_between)
    else:
        from contentdb.local.index import queries  # brings SQLAlchemy, 0.4 s

        query = queries.compile_walk(namespace, chosen, sort, after, limit)
        values = query.values | {"namespace": namespace}
        pages = _pages(database, query.statement, values, _labels_of_each, queries.teach)
    for page in database.stream(pages):
        yield from page


def _pages(
    database: Database,
    statement: str,
    values: dict[str, Any],
    labels_of: _LabelsOf,
    teach: Callable[[Connection], None] | None = None,
) -> Generator[Iterator[Info], None, None]:
    """Make pages of a thousand rows, or of fewer where their labels weigh too much."""
    with database.held() as connection:
        if teach is not None:
            teach(connection)
        cursor = connection.execute(statement, values)
        rows = cursor.fetchmany(_PAGE_ROWS)
        are_last = len(rows) < _PAGE_ROWS
        size = _PAGE_ROWS
        while True:
            page, labels = _light_page(connection, values["namespace"], rows[:size], labels_of)
            size = len(page) or size
            rows = rows[size:]
            if not rows and are_last:
                break
            yield _records(page, labels)
            if not rows:
                rows = cursor.fetchmany(_PAGE_ROWS)
                are_last = len(rows) < _PAGE_ROWS
                size = _PAGE_ROWS
    yield _records(page, labels)


def _records(rows: list[Any], labels: _Labels) -> Iterator[Info]:
    """Make rows of five values into Info, at the speed of C."""
    if labels:
        rows = [(*row[:4], labels.get(row[0])) for row in rows]
    return map(tuple.__new__, repeat(Info), rows)


def _light_page(
    connection: Connection, namespace: str, rows: list[Any], labels_of: _LabelsOf
) -> tuple[list[Any], _Labels]:
    """As many of the rows, from the first on, as have labels of a bounded weight; one at least."""
    while rows:
        labels = _weighed(labels_of(connection, namespace, rows), alone=len(rows) == 1)
        if labels is not None:
            return rows, labels
        rows = rows[: len(rows) // 2]
    return rows, {}


def _weighed(found: Iterator[tuple[str, str, str]], *, alone: bool) -> _Labels | None:
    """Gather labels by digest; None as soon as they weigh too much for a page of several blobs."""
    labels: _Labels = {}
    weight = 0
    for digest, key, value in found:
        if type(key) is not str or type(value) is not str:  # a page of another table, say
            raise corrupt(f"a label of {digest} is no text")
        labels.setdefault(digest, {})[key] = value
        weight += _LABEL_WEIGHT + len(key) + len(value)
        if weight > _PAGE_WEIGHT and not alone:
            return None
    return labels


def _labels_between(
    connection: Connection, namespace: str, rows: list[Any]
) -> Iterator[tuple[str, str, str]]:
    """Those of all blobs from the first row to the last, which are the rows."""
    values = {"namespace": namespace, "first": rows[0][0], "last": rows[-1][0]}
    return connection.execute(statements.WALK_LABELS, values)


def _labels_of_each(
    connection: Connection, namespace: str, rows: list[Any]
) -> Iterator[tuple[str, str, str]]:
    """Those of the rows alone: others may lie between them."""
    digests = [row[0] for row in rows]
    return connection.execute(statements.labels_of(len(rows)), [namespace, *digests])
