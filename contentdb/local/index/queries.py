"""Walks with filters and orders: the filter tree as SQL, through SQLAlchemy.

Every value of a filter becomes a bound parameter. Only `walks` imports this module, when it must:
SQLAlchemy takes 0.4 s to import. The compiled statements run on the driver's own connection, like
the fixed ones.
"""

from __future__ import annotations

import weakref
from operator import ge, gt, le, lt
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import and_, func, null, or_, select, true
from sqlalchemy.dialects import sqlite

from contentdb.errors import InvalidFieldError
from contentdb.filters import Operator, searcher
from contentdb.local.index import live
from contentdb.local.index.schema import blobs, labels

if TYPE_CHECKING:
    from collections.abc import Callable
    from sqlite3 import Connection

    from sqlalchemy import ColumnElement

    from contentdb.filters import Filter, Selector

__all__ = ["SORTS", "Query", "compile_walk", "teach"]

SORTS: Final = ("digest", "size", "created_at", "updated_at")

_ORDERINGS: Final[dict[Operator, Callable[[Any, Any], Any]]] = {
    Operator.LESS: lt,
    Operator.AT_MOST: le,
    Operator.GREATER: gt,
    Operator.AT_LEAST: ge,
}


class Query(NamedTuple):
    """SQL text with named parameters, and their values."""

    statement: str
    values: dict[str, Any]


def compile_walk(
    namespace: str, chosen: Filter | None, sort: str, after: str | None, limit: int | None
) -> Query:
    """Return the statement of a walk; its rows have five values, the last of them NULL."""
    c = blobs.c
    statement = select(c.digest, c.size, c.created_at, c.updated_at, null()).where(
        c.namespace == namespace, c.state == 0
    )
    if chosen is not None:
        statement = statement.where(_condition(namespace, chosen))
    if after is not None:
        statement = statement.where(c.digest > after)
    statement = statement.order_by(*_order(sort))
    if limit is not None:
        statement = statement.limit(limit)
    compiled = statement.compile(dialect=sqlite.dialect(paramstyle="named"))
    return Query(str(compiled), dict(compiled.params))


def teach(connection: Connection) -> None:
    """Register on a connection the function that ``~=`` is compiled to."""
    known = weakref.ref(connection) if isinstance(connection, live.Connection) else None

    def matches(pattern: str, text: str) -> bool:
        try:
            return bool(searcher(pattern)(text))
        except BaseException as error:
            asking = None if known is None else known()  # weak, as the connection has this function
            if asking is not None:
                asking.raised = error
            raise

    connection.create_function("contentdb_matches", 2, matches, deterministic=True)


def _order(sort: str) -> list[ColumnElement[Any]]:
    name = sort.removeprefix("-")
    if name not in SORTS:
        raise InvalidFieldError(sort, f"sort by one of {', '.join(SORTS)}, or -NAME for descending")
    column = blobs.c[name]
    wanted = column.desc() if sort.startswith("-") else column.asc()
    return [wanted] if name == "digest" else [wanted, blobs.c.digest.asc()]


def _condition(namespace: str, chosen: Filter) -> ColumnElement[bool]:
    return or_(
        *(
            and_(true(), *(_selector(namespace, one) for one in every))
            for every in chosen.alternatives
        )
    )


def _selector(namespace: str, one: Selector) -> ColumnElement[bool]:
    if one.key is not None:
        return _label(namespace, one.key, one)
    return _compare(blobs.c[one.field], one)


def _compare(column: ColumnElement[Any], one: Selector) -> ColumnElement[bool]:
    """Compare a column that is never NULL."""
    match one.operator:
        case Operator.PRESENT:
            return true()
        case Operator.EQUAL:
            return column == one.value
        case Operator.NOT_EQUAL:
            return column != one.value
        case Operator.MATCHES:
            return func.contentdb_matches(one.value, column) == 1
    ordered: ColumnElement[bool] = _ORDERINGS[one.operator](column, one.value)
    return ordered


def _label(namespace: str, key: str, one: Selector) -> ColumnElement[bool]:
    """Select by a label, through the labels' own index, without a scan of other blobs."""
    negated = one.operator is Operator.NOT_EQUAL
    positive = one._replace(operator=Operator.EQUAL) if negated else one
    labelled = select(labels.c.digest).where(
        labels.c.namespace == namespace,
        labels.c.key == key,
        _compare(labels.c.value, positive),
    )
    return blobs.c.digest.not_in(labelled) if negated else blobs.c.digest.in_(labelled)
