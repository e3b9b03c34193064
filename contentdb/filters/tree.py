"""A parsed filter: an immutable tree of typed conditions, which can match items."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from operator import eq, ge, gt, le, lt
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from contentdb.filters.patterns import searcher

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "BLOB_FIELDS",
    "INGEST_FIELDS",
    "LEASE_FIELDS",
    "TAG_FIELDS",
    "Filter",
    "Kind",
    "Operator",
    "Selector",
]


class Kind(StrEnum):
    """The type of a field, which decides its operators and the type of `Selector.value`."""

    TEXT = "text"
    LABELS = "labels"
    """Texts by key."""
    SIZE = "size"
    """Bytes."""
    TIME = "time"
    """Nanoseconds since the epoch."""


class Operator(StrEnum):
    """How a field is compared; the value is the operator as written in a filter."""

    PRESENT = ""
    EQUAL = "=="
    NOT_EQUAL = "!="
    MATCHES = "~="
    LESS = "<"
    AT_MOST = "<="
    GREATER = ">"
    AT_LEAST = ">="


BLOB_FIELDS: Final[Mapping[str, Kind]] = {
    "digest": Kind.TEXT,
    "labels": Kind.LABELS,
    "size": Kind.SIZE,
    "created_at": Kind.TIME,
    "updated_at": Kind.TIME,
}
INGEST_FIELDS: Final[Mapping[str, Kind]] = {
    "ref": Kind.TEXT,
    "offset": Kind.SIZE,
    "total": Kind.SIZE,
    "expected": Kind.TEXT,
    "started_at": Kind.TIME,
    "updated_at": Kind.TIME,
}
TAG_FIELDS: Final[Mapping[str, Kind]] = {
    "name": Kind.TEXT,
    "digest": Kind.TEXT,
    "media_type": Kind.TEXT,
    "labels": Kind.LABELS,
    "size": Kind.SIZE,
    "created_at": Kind.TIME,
    "updated_at": Kind.TIME,
}

LEASE_FIELDS: Final[Mapping[str, Kind]] = {
    "id": Kind.TEXT,
    "labels": Kind.LABELS,
    "created_at": Kind.TIME,
    "expires_at": Kind.TIME,
}

_COMPARISONS: Final[Mapping[Operator, Callable[[Any, Any], bool]]] = {
    Operator.EQUAL: eq,
    Operator.LESS: lt,
    Operator.AT_MOST: le,
    Operator.GREATER: gt,
    Operator.AT_LEAST: ge,
}


class Selector(NamedTuple):
    """One condition on one field."""

    field: str
    key: str | None
    """The label's key, for the field ``labels``; else None."""
    operator: Operator
    value: str | int | None
    """None for PRESENT, a valid expression for MATCHES, else a value of the field's `Kind`."""

    def matches(self, item: Mapping[str, object]) -> bool:
        """Return whether an item meets the condition; see `Filter.matches`."""
        found = item.get(self.field)
        if self.key is not None:
            found = found.get(self.key) if isinstance(found, Mapping) else None
        if self.operator is Operator.NOT_EQUAL:
            return found != self.value
        if found is None or self.operator is Operator.PRESENT:
            return found is not None
        if self.operator is Operator.MATCHES:
            return searcher(str(self.value))(str(found))
        return _COMPARISONS[self.operator](found, self.value)


class Filter(NamedTuple):
    """Alternatives; an item is selected if it meets all selectors of one of them."""

    alternatives: tuple[tuple[Selector, ...], ...]
    """``((),)`` if the filter selects everything; otherwise none of them is empty."""

    def matches(self, item: Mapping[str, object]) -> bool:
        """Return whether the filter selects an item.

        Args:
            item: The fields' values, each of its field's `Kind`, labels as a mapping. An absent
                field is None or left out.
        """
        return any(all(one.matches(item) for one in every) for every in self.alternatives)
