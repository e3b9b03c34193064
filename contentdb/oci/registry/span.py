"""Parts of a blob: the Range of a request, and the Content-Range of its answer.

Source: RFC 9110, sections 14.2 and 14.4.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Span", "asked_range", "served_span"]

_RANGE: Final = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)")


class Span(NamedTuple):
    """The part of a blob that an answer says it has."""

    start: int
    stop: int
    """The offset behind the last byte."""
    size: int | None
    """The blob's size in bytes; None if the registry does not tell."""

    def __str__(self) -> str:
        """Return the text of a Content-Range."""
        return f"{self.start}-{self.stop - 1}/{'*' if self.size is None else self.size}"

    def fits(self, offset: int, stop: int | None, size: int | None) -> bool:
        """Return whether it answers a request for ``offset`` to ``stop`` of ``size`` bytes.

        It may end earlier than asked, which RFC 9110 allows, but must begin where asked.
        """
        whole = self.size if size is None else size
        ends = [end for end in (stop, whole) if end is not None]
        return (
            self.start == offset
            and self.start < self.stop
            and (self.size is None or self.size == whole)
            and all(self.stop <= end for end in ends)
        )


def asked_range(offset: int, stop: int | None) -> dict[str, str]:
    """Return the header that asks for a part, none for the whole; ``stop`` None is to the end."""
    if stop is not None:
        return {"Range": f"bytes={offset}-{stop - 1}"}
    return {"Range": f"bytes={offset}-"} if offset else {}


def served_span(headers: Mapping[str, str]) -> Span | None:
    """Return the part that an answer announces, or None if that is not well formed."""
    found = _RANGE.fullmatch(headers.get("Content-Range", ""))
    if found is None:
        return None
    first, last, whole = found.groups()
    return Span(int(first), int(last) + 1, None if whole == "*" else int(whole))
