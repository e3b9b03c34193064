"""Digests that were shortened to a beginning that one blob alone has, as with git."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from contentdb.digest import ALGORITHMS
from contentdb.errors import (
    AmbiguousDigestError,
    InvalidDigestError,
    MalformedDigestError,
    NotFoundError,
    UnsupportedAlgorithmError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contentdb.digest import Digest

__all__ = ["beginnings", "only_one"]

_BEGINNING: Final = re.compile(r"(?:(sha256|sha384|sha512):)?([0-9a-f]{0,128})")


def beginnings(text: str, error: InvalidDigestError) -> list[str]:
    """How the digests may begin that a text means, each with its algorithm.

    An empty one, as of a shell's variable that is not set, means none.

    Args:
        text: What is no whole digest.
        error: Why it is none.

    Raises:
        InvalidDigestError: It is no beginning of one either.
    """
    if not isinstance(text, str):
        raise error
    form = _BEGINNING.fullmatch(text)
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
    """The one digest that begins so.

    Raises:
        NotFoundError, AmbiguousDigestError: There is none; there are several.
    """
    if not found:
        raise NotFoundError(digest=text)
    if len(found) > 1:
        raise AmbiguousDigestError(text, f"{found[0]} and {found[1]} begin so; write more of it")
    return found[0]
