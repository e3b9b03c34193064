"""Writing values and labels into the text of a filter."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from contentdb.errors import InvalidArgumentError
from contentdb.filters.grammar import parse
from contentdb.labels import check_label

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["quote", "with_labels"]

_SPECIAL: Final = re.compile(r'["\\\x00-\x1f\x7f]')


def quote(value: str) -> str:
    """Quote a text for use in a filter, as a value or as a label's key.

    Raises:
        InvalidArgumentError: The value is not text, or no field can hold it.
    """
    if not isinstance(value, str):
        raise InvalidArgumentError(f"what is quoted is text, not {type(value).__name__}")
    if "\0" in value:
        raise InvalidArgumentError("no field holds a NUL; leave it out")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgumentError("no field holds what is not Unicode") from error
    return '"' + _SPECIAL.sub(_escape, value) + '"'


def _escape(found: re.Match[str]) -> str:
    char = found[0]
    return "\\" + char if char in '"\\' else f"\\x{ord(char):02x}"


def with_labels(filters: Sequence[str], labels: Mapping[str, str]) -> list[str]:
    """Return filters that select what the given ones select, if it also has all of the labels.

    Raises:
        InvalidFilterError: A filter does not parse by itself.
        InvalidLabelError: No blob can have such a label.
    """
    for key, value in labels.items():
        check_label(key, value)
    wanted = ",".join(f"labels.{quote(key)}=={quote(value)}" for key, value in labels.items())
    if not wanted:
        return list(filters)
    parse(*filters)  # a filter that parses means the same before a comma and more selectors
    return [f"{each},{wanted}" if each else wanted for each in filters or ("",)]
