"""Shortened digests, as in git: a prefix that only one blob's digest has."""

from __future__ import annotations

from contentdb.digest import ALGORITHMS
from contentdb.errors import (
    AmbiguousDigestError,
    InvalidDigestError,
    MalformedDigestError,
    NotFoundError,
    UnsupportedAlgorithmError,
)
from contentdb.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from contentdb.digest import Digest

__all__ = ["beginnings", "only_one"]

_BEGINNING: Final = r"(?:(sha256|sha384|sha512):)?([0-9a-f]{0,128})"


def beginnings(text: str, error: InvalidDigestError) -> list[str]:
    """Return the prefixes, each with an algorithm, that a shortened digest stands for.

    Empty text is refused: an unset shell variable must not select a blob.

    Args:
        text: The shortened digest.
        error: The error of parsing the text as a whole digest.

    Raises:
        InvalidDigestError: The text is not the prefix of a digest either.
    """
    if not isinstance(text, str):
        raise error
    import re

    form = re.fullmatch(_BEGINNING, text)
    if isinstance(error, UnsupportedAlgorithmError):
        raise error
    if form is not None and form[1] and len(form[2]) > ALGORITHMS[form[1]]:
        raise error
    if form is None or not form[2]:
        raise MalformedDigestError(
            text,
            "a digest, or its beginning, is lower-case hexadecimal, "
            "perhaps after an algorithm and a colon",
        )
    return [f"{algorithm}:{form[2]}" for algorithm in ([form[1]] if form[1] else ALGORITHMS)]


def only_one(text: str, found: Sequence[Digest]) -> Digest:
    """Return the digest that a shortened digest stands for, if exactly one was found.

    Raises:
        NotFoundError: None was found.
        AmbiguousDigestError: Several were found.
    """
    if not found:
        raise NotFoundError(digest=text)
    if len(found) > 1:
        raise AmbiguousDigestError(text, f"{found[0]} and {found[1]} begin so; write more of it")
    return found[0]
