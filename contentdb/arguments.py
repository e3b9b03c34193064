"""What callers say beside content: looked at here, so that every store refuses the same."""

from __future__ import annotations

import math
import time
from typing import Final

from contentdb.digest import Digest
from contentdb.errors import InvalidArgumentError, InvalidFieldError

__all__ = ["SORTS", "check_walk", "deadline_of"]

SORTS: Final = ("digest", "size", "created_at", "updated_at")
"""What a walk may be sorted by, from the least or with ``-`` before it from the greatest."""

_LIMITS: Final = 1 << 63


def deadline_of(wait: object) -> float:
    """Until when by `time.monotonic` a caller waits: so many seconds, or with True for ever.

    Raises:
        InvalidArgumentError: It is no such number.
    """
    if not isinstance(wait, int | float) or not wait >= 0:
        raise InvalidArgumentError(f"a wait is 0 or more seconds, or True, not {wait!r:.40}")
    return time.monotonic() + (math.inf if wait is True else wait)


def check_walk(sort: object, after: str | None, limit: object) -> Digest | None:
    """Check how a walk is to be sorted and cut; gives the digest to begin behind.

    Raises:
        InvalidFieldError: There is no such order.
        InvalidArgumentError: The rest cannot be, or not together.
    """
    if not isinstance(sort, str) or sort.removeprefix("-") not in SORTS:
        reason = f"sort by one of {', '.join(SORTS)}, or -NAME for descending"
        raise InvalidFieldError(str(sort), reason)
    behind = None if after is None else Digest(after)
    if behind is not None and sort != "digest":
        raise InvalidArgumentError(f"after pages in digest order; leave it out to sort by {sort!r}")
    if limit is not None and not (isinstance(limit, int) and 0 <= limit < _LIMITS):
        raise InvalidArgumentError(
            f"a limit is a number, 0 or more and less than 2**63, not {limit!r:.40}"
        )
    return behind
