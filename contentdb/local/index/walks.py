"""Stream blobs from the index: in pages, from one snapshot, in bounded memory.

In digest order and without filters, a walk is one fixed statement along the primary key.
`contentdb.local.index.queries` turns filters and other orders into SQL.
"""

from __future__ import annotations

from itertools import repeat

from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.index import statements
from contentdb.local.index.connect import corrupt
from contentdb.values import Info

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from sqlite3 import Connection
    from typing import Any, Final, TypeAlias

    from contentdb.filters import Filter
    from contentdb.local.index.database import Database

__all__ = ["walk"]

_PAGE_ROWS: Final = 1000
_PAGE_WEIGHT: Final = 2 << 20
"""Bytes of memory, about, that the labels of a page may take."""
_LABEL_WEIGHT: Final = 256
"""Bytes that two texts and their place in a dict take, beside their letters."""
_NO_LIMIT: Final = -1

_Labels: TypeAlias = "dict[str, dict[str, str]]"
"""Labels by digest; a blob without any is left out."""
_LabelsOf: TypeAlias = "Callable[[Connection, str, list[Any]], Iterator[tuple[str, str, str]]]"
"""Finds the labels of rows: digest, key and value of each."""


def walk(
    database: Database,
    namespace: str,
    chosen: Filter | None,
    sort: str,
    after: str | None,
    limit: int | None,
) -> Iterator[Info]:
    """Yield live blobs as of the start of the walk.

    A walk of up to a thousand blobs, with few labels, is read whole before the first is yielded.
    A longer one holds a snapshot until it ends or is closed.
    """
    if chosen is None and sort == "digest":
        values: dict[str, Any] = {
            "namespace": namespace,
            "after": after or "",
            "limit": _NO_LIMIT if limit is None else limit,
        }
        pages = _read_pages(database, statements.WALK, values, _find_labels_between)
    else:
        from contentdb.local.index import queries  # imports SQLAlchemy, 0.4 s

        query = queries.compile_walk(namespace, chosen, sort, after, limit)
        values = query.values | {"namespace": namespace}
        pages = _read_pages(database, query.statement, values, _find_labels_of_each, queries.teach)
    for page in database.stream(pages):
        yield from page


def _read_pages(
    database: Database,
    statement: str,
    values: dict[str, Any],
    labels_of: _LabelsOf,
    teach: Callable[[Connection], None] | None = None,
) -> Generator[Iterator[Info], None, None]:
    """Yield pages of a thousand rows, or of fewer where their labels weigh too much."""
    with database.held() as connection:
        if teach is not None:
            teach(connection)
        cursor = connection.execute(statement, values)
        rows = cursor.fetchmany(_PAGE_ROWS)
        are_last = len(rows) < _PAGE_ROWS
        size = _PAGE_ROWS
        while True:
            page, labels = _take_light_page(connection, values["namespace"], rows[:size], labels_of)
            size = len(page) or size
            rows = rows[size:]
            if not rows and are_last:
                break
            yield _make_infos(page, labels)
            if not rows:
                rows = cursor.fetchmany(_PAGE_ROWS)
                are_last = len(rows) < _PAGE_ROWS
                size = _PAGE_ROWS
    yield _make_infos(page, labels)


def _make_infos(rows: list[Any], labels: _Labels) -> Iterator[Info]:
    """Make an Info of each row of five values, in C."""
    if labels:
        rows = [(*row[:4], labels.get(row[0])) for row in rows]
    return map(tuple.__new__, repeat(Info), rows)


def _take_light_page(
    connection: Connection, namespace: str, rows: list[Any], labels_of: _LabelsOf
) -> tuple[list[Any], _Labels]:
    """Return as many of the first rows as have labels of a bounded weight, at least one."""
    while rows:
        labels = _gather_labels(labels_of(connection, namespace, rows), alone=len(rows) == 1)
        if labels is not None:
            return rows, labels
        rows = rows[: len(rows) // 2]
    return rows, {}


def _gather_labels(found: Iterator[tuple[str, str, str]], *, alone: bool) -> _Labels | None:
    """Return labels by digest; None if they weigh too much for a page of several blobs."""
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


def _find_labels_between(
    connection: Connection, namespace: str, rows: list[Any]
) -> Iterator[tuple[str, str, str]]:
    """Find the labels of all blobs from the first row to the last: there are no others between."""
    values = {"namespace": namespace, "first": rows[0][0], "last": rows[-1][0]}
    return connection.execute(statements.WALK_LABELS, values)


def _find_labels_of_each(
    connection: Connection, namespace: str, rows: list[Any]
) -> Iterator[tuple[str, str, str]]:
    """Find the labels of these rows only: there may be others between."""
    digests = [row[0] for row in rows]
    return connection.execute(statements.labels_of(len(rows)), [namespace, *digests])
