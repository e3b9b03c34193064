"""Parses untrusted JSON: limits size, depth and numbers, and refuses duplicate keys.

Two parsers may read duplicate keys differently, so that a signed manifest means something else;
deep nesting exhausts a parser's stack.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn

from contentdb.oci.errors import InvalidManifestError

__all__ = ["parse_list", "parse_object"]

_MOST_DEPTH: Final = 32
_MOST_DIGITS: Final = 20
_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
"""An unterminated string matches to the end; else the search would restart at each quote in it."""


def parse_object(data: bytes, *, most_bytes: int) -> dict[str, Any]:
    """Parse UTF-8 JSON whose top level is an object.

    Raises:
        InvalidManifestError: The data is too long, too deep, ambiguous, or not such JSON.
    """
    parsed = _parse(data, most_bytes)
    if not isinstance(parsed, dict):
        raise InvalidManifestError("it is not a JSON object")
    return parsed


def parse_list(data: bytes, *, most_bytes: int) -> list[Any]:
    """Parse UTF-8 JSON whose top level is a list; errors are as for `parse_object`."""
    parsed = _parse(data, most_bytes)
    if not isinstance(parsed, list):
        raise InvalidManifestError("it is not a JSON list")
    return parsed


def _parse(data: bytes, most_bytes: int) -> object:
    if len(data) > most_bytes:
        raise InvalidManifestError(f"it has {len(data)} bytes; {most_bytes} is the most")
    _check_depth(data)
    try:
        return json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_refuse_duplicates,
            parse_constant=_refuse_constant,
            parse_int=_parse_int,
        )
    except (ValueError, RecursionError) as error:
        if isinstance(error, InvalidManifestError):
            raise
        raise InvalidManifestError(f"it is not JSON: {str(error)[:100]}") from None


def _check_depth(data: bytes) -> None:
    depth = 0
    for token in _TOKEN.finditer(data):
        first = data[token.start()]
        if first in b"[{":
            depth += 1
            if depth > _MOST_DEPTH:
                raise InvalidManifestError(f"it nests deeper than {_MOST_DEPTH} levels")
        elif first in b"]}":
            depth -= 1


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidManifestError("a key stands twice in one object")
    return found


def _refuse_constant(text: str) -> NoReturn:
    raise InvalidManifestError(f"{text} is not a number")


def _parse_int(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise InvalidManifestError("a number has too many digits")
    return int(text)
