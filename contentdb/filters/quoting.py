"""Values into filter texts, whatever they hold."""

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
    """Write a text so that it stands for itself in a filter, as a value or as a label's key.

    Raises:
        InvalidArgumentError: It is no text, or one that no field can hold.
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
    """Make filters that ask for labels as well: all of them, beside any of the filters.

    Raises:
        InvalidFilterError: A filter does not parse by itself.
        InvalidLabelError: Such a label cannot be.
    """
    for key, value in labels.items():
        check_label(key, value)
    wanted = ",".join(f"labels.{quote(key)}=={quote(value)}" for key, value in labels.items())
    if not wanted:
        return list(filters)
    parse(*filters)  # what is whole is not changed by what comes behind a comma
    return [f"{each},{wanted}" if each else wanted for each in filters or ("",)]
