"""Streaming blobs out of the index: in pages, out of one snapshot, in bounded memory.

In digest order and without filters a walk is one fixed statement along the primary key.
Filters and other orders are made into SQL by `contentdb.index.queries`.
"""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from contentdb.content import Info
from contentdb.index import statements

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from sqlite3 import Connection, Cursor

    from contentdb.filters import Filter
    from contentdb.index.connection import Database

__all__ = ["walk"]

_PAGE_ROWS: Final = 1000
_NO_LIMIT: Final = -1

_Labels: TypeAlias = "dict[str, dict[str, str]]"
"""By digest; a blob without any is left out."""


def walk(
    database: Database,
    namespace: str,
    chosen: Filter | None,
    sort: str,
    after: str | None,
    limit: int | None,
) -> Iterator[Info]:
    """Stream live blobs as of the start of the walk.

    A walk of up to a thousand blobs is read whole before the first is handed out. A longer
    one holds a snapshot until it ends or is closed.
    """
    if chosen is None and sort == "digest":
        values: dict[str, Any] = {
            "namespace": namespace,
            "after": after or "",
            "limit": _NO_LIMIT if limit is None else limit,
        }
        pages = _pages(database, statements.WALK, values, _labels_between)
    else:
        from contentdb.index import queries  # brings SQLAlchemy, 0.4 s

        query = queries.compile_walk(namespace, chosen, sort, after, limit)
        values = query.values | {"namespace": namespace}
        pages = _pages(database, query.statement, values, _labels_of_each, queries.teach)
    for page in database.stream(pages):
        yield from page


def _pages(
    database: Database,
    statement: str,
    values: dict[str, Any],
    labels_of: Callable[[Connection, list[Any], str], _Labels],
    teach: Callable[[Connection], None] | None = None,
) -> Generator[Iterator[Info], None, None]:
    with database.held() as connection:
        if teach is not None:
            teach(connection)
        cursor = connection.execute(statement, values)
        page = _page(connection, cursor, values["namespace"], labels_of)
        while len(page) == _PAGE_ROWS:
            yield _records(page)
            page = _page(connection, cursor, values["namespace"], labels_of)
    yield _records(page)


def _records(rows: list[Any]) -> Iterator[Info]:
    """Make rows of five values into Info, at the speed of C."""
    return map(tuple.__new__, repeat(Info), rows)


def _page(
    connection: Connection,
    cursor: Cursor,
    namespace: str,
    labels_of: Callable[[Connection, list[Any], str], _Labels],
) -> list[Any]:
    rows = cursor.fetchmany(_PAGE_ROWS)
    labels = labels_of(connection, rows, namespace) if rows else {}
    if not labels:
        return rows
    return [(*row[:4], labels.get(row[0])) for row in rows]


def _labels_between(connection: Connection, rows: list[Any], namespace: str) -> _Labels:
    """Labels of all blobs from the first row to the last, in one statement."""
    values = {"namespace": namespace, "first": rows[0][0], "last": rows[-1][0]}
    found: _Labels = {}
    for digest, key, value in connection.execute(statements.WALK_LABELS, values):
        found.setdefault(digest, {})[key] = value
    return found


def _labels_of_each(connection: Connection, rows: list[Any], namespace: str) -> _Labels:
    """Labels of rows that others may lie between, whose labels would fill the memory."""
    found: _Labels = {}
    for row in rows:
        values = {"namespace": namespace, "digest": row[0]}
        labels = connection.execute(statements.FIND_LABELS, values).fetchall()
        if labels:
            found[row[0]] = dict(labels)
    return found
