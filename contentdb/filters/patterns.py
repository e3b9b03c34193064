"""Regular expressions of strangers: RE2's, with bounded length and memory."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["searcher"]

_MAX_CHARS: Final = 1024
_MAX_MEMORY_BYTES: Final = 256 * 1024
"""Limit for one expression, which also bounds the work for each character searched."""


@lru_cache(maxsize=256)
def searcher(pattern: str) -> Callable[[str], bool]:
    """Return a function that tells whether an expression is found anywhere in a text.

    Raises:
        ValueError: RE2 refuses the expression, or it is too large.
    """
    import re2  # here, since its 6 ms are needed only by a filter with ~=

    if len(pattern) > _MAX_CHARS:
        raise ValueError(f"a regular expression has at most {_MAX_CHARS} characters; shorten it")
    options = re2.Options()
    options.max_mem = _MAX_MEMORY_BYTES
    options.never_capture = True
    options.log_errors = False
    try:
        search = re2.compile(pattern, options).search
    except re2.error as error:
        reason = error.args[0].decode(errors="replace")
        raise ValueError(
            f"RE2 refuses this regular expression ({reason}); change that part of it"
        ) from error
    return lambda text: search(text) is not None
