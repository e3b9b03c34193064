"""The arguments of a walk, checked and converted."""

from __future__ import annotations

from contentdb.digest import Digest
from contentdb.engine import Query
from contentdb.errors import InvalidArgumentError, InvalidFieldError
from contentdb.labels import check_mapping
from contentdb.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from contentdb.content import SortOrder

__all__ = ["check_walk"]

_FIELDS: Final = ("digest", "size", "created_at", "updated_at")
_ORDERS: Final[tuple[str, ...]] = (*_FIELDS, *(f"-{field}" for field in _FIELDS))
"""A test compares them with `contentdb.content.SortOrder`."""


def check_walk(
    filters: tuple[str, ...],
    labels: Mapping[str, str] | None,
    sort: SortOrder,
    after: str | None,
    limit: int | None,
) -> Query:
    """Check and convert the arguments of a walk.

    Raises:
        InvalidFilterError: A filter does not parse.
        InvalidFieldError: There is no such order.
        InvalidLabelError: No blob can have such a label.
        InvalidArgumentError: Another argument is invalid.
    """
    chosen = None
    texts = list(filters)
    wanted = {} if labels is None else check_mapping(labels)
    if wanted or any(text != "" for text in filters):
        from contentdb.filters import parse, with_labels  # 2 ms that most commands need not spend

        texts = with_labels(filters, wanted)
        chosen = parse(*texts)
    if sort not in _ORDERS:
        raise InvalidFieldError(
            str(sort), f"sort by one of {', '.join(_FIELDS)}, or -NAME for descending"
        )
    behind = None if after is None else Digest(after)
    if behind is not None and sort != "digest":
        raise InvalidArgumentError(
            f"after pages in digest order; leave it out to sort by {sort!r:.80}"
        )
    if limit is not None and not (_is_count(limit) and 0 <= limit < 1 << 63):
        raise InvalidArgumentError(
            f"a limit is a whole number from 0 to below 2**63, not {limit!r:.80}"
        )
    return Query(texts, chosen, sort, behind, limit)


def _is_count(limit: object) -> bool:
    return isinstance(limit, int) and not isinstance(limit, bool)
