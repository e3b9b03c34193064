"""Lists of blobs: the filter tree as SQL, its values as parameters.

The server has no RE2, and its own expressions can run for ever: ``~=`` is evaluated here, over the
rows that the rest of the filter selects.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from contentdb.content import Info
from contentdb.filters import Operator
from contentdb.filters.items import fields_of_info

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from contentdb.cluster.sql import Database
    from contentdb.engine import Query
    from contentdb.filters import Filter, Selector

__all__ = ["walk"]

_SELECT: Final = (
    "SELECT digest, size, created_ns, updated_ns, nullif(labels, '{}')::text FROM blobs"
)
_COLUMNS: Final = {
    "digest": "digest",
    "size": "size",
    "created_at": "created_ns",
    "updated_at": "updated_ns",
}
_ORDERINGS: Final = {
    Operator.EQUAL: "=",
    Operator.NOT_EQUAL: "<>",
    Operator.LESS: "<",
    Operator.AT_MOST: "<=",
    Operator.GREATER: ">",
    Operator.AT_LEAST: ">=",
}
_FEW: Final = 100
"""A list of at most so many rows needs no connection of its own."""


def walk(database: Database, namespace: str, query: Query) -> Iterator[Info]:
    """Stream blobs from one statement, which shows the rows of one moment."""
    values: dict[str, Any] = {"namespace": namespace}
    where = "namespace = %(namespace)s"
    client_side = None
    if query.chosen is not None:
        where += f" AND ({_condition(query.chosen, values)})"
        client_side = _needs_client(query.chosen)
    if query.after is not None:
        where += " AND digest > %(after)s"
        values["after"] = str(query.after)
    statement = f"{_SELECT} WHERE {where} ORDER BY {_order(query.sort)}"
    limit = None if client_side else query.limit
    few = database.rows(f"{statement} LIMIT {_FEW + 1 if limit is None else min(limit, _FEW + 1)}",
                        values)  # fmt: skip
    if len(few) <= _FEW:
        yield from _chosen(iter(few), client_side, query.limit)
        return
    del few
    if limit is not None:
        statement += f" LIMIT {limit}"
    with database.streaming(statement, values) as rows:
        yield from _chosen(rows, client_side, query.limit)


def _order(sort: str) -> str:
    column = _COLUMNS[sort.removeprefix("-")]
    way = "DESC" if sort.startswith("-") else "ASC"
    return f"{column} {way}" if column == "digest" else f"{column} {way}, digest ASC"


def _chosen(
    rows: Iterator[tuple[Any, ...]],
    matches: Callable[[Info], bool] | None,
    limit: int | None,
) -> Iterator[Info]:
    count = 0
    for digest, size, created_ns, updated_ns, labels in rows:
        if limit is not None and count >= limit:
            return
        kept = None if labels is None else json.loads(labels)
        info = Info(digest, size, created_ns, updated_ns, kept)
        if matches is None or matches(info):
            count += 1
            yield info


# -- filters ---------------------------------------------------------------------------------------


def _needs_client(chosen: Filter) -> Callable[[Info], bool] | None:
    """Return what selects the rows here, if the server cannot."""
    if all(one.operator is not Operator.MATCHES for every in chosen.alternatives for one in every):
        return None
    return lambda info: chosen.matches(fields_of_info(info))


def _condition(chosen: Filter, values: dict[str, Any]) -> str:
    return " OR ".join(
        " AND ".join(["true", *(_selector(one, values) for one in every)])
        for every in chosen.alternatives
    )


def _selector(one: Selector, values: dict[str, Any]) -> str:
    """Return the condition as SQL; one that only this side can decide is wider than it."""
    name = f"v{len(values)}"
    if one.key is not None:
        return _label(one, one.key, name, values)
    if one.operator in {Operator.PRESENT, Operator.MATCHES}:
        return "true"
    values[name] = one.value
    return f"{_COLUMNS[one.field]} {_ORDERINGS[one.operator]} %({name})s"


def _label(one: Selector, key: str, name: str, values: dict[str, Any]) -> str:
    if one.operator in {Operator.PRESENT, Operator.MATCHES}:
        values[name] = key
        return f"labels ? %({name})s"
    if one.operator in {Operator.EQUAL, Operator.NOT_EQUAL}:
        values[name] = json.dumps({key: one.value})
        contains = f"labels @> %({name})s::jsonb"  # by the index
        return contains if one.operator is Operator.EQUAL else f"NOT ({contains})"
    values[name], values[f"{name}b"] = key, one.value
    return f'labels ->> %({name})s {_ORDERINGS[one.operator]} %({name}b)s COLLATE "C"'
