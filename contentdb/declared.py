"""What a caller declares of content that is to come, and what a resume makes of it."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from contentdb.digest import Digest
from contentdb.errors import DigestMismatchError, InvalidArgumentError
from contentdb.metadata import pack_metadata

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Declared", "Takeover", "check_digest", "check_total", "declare"]


class Declared(NamedTuple):
    """What a caller says of the content that is to come; None where nothing."""

    total: int | None
    expected: Digest | None
    metadata: str | None
    """As `pack_metadata` writes it."""


def declare(
    total: int | None, expected: str | None, metadata: Mapping[str, str] | None
) -> Declared:
    """Check what a caller says of the content.

    Raises:
        InvalidArgumentError: It can never be right.
    """
    digest = None if expected is None else Digest(expected)
    return Declared(check_total(total), digest, pack_metadata(metadata))


def check_total(total: int | None) -> int | None:
    """Return a declared size in bytes, or raise `InvalidArgumentError`."""
    if total is None:
        return None
    is_number = isinstance(total, int | float)
    if not (is_number and 0 <= total < 1 << 63 and total == int(total)):
        raise InvalidArgumentError("a size is a whole number of bytes from 0 to 2**63 - 1")
    return total


class Takeover(Enum):
    """What becomes of what was declared of an ingest when the next writer takes it over."""

    AGREE = "agree"
    """It stays; the writer may add to it, not contradict it."""
    PREFER = "prefer"
    """It stays where the writer says nothing that speaks against it: another total or digest
    does, and a digest vouches for the whole. The metadata stays: it is that of the bytes."""
    REPLACE = "replace"
    """The writer's total and digest take its place, unknown ones too; and its metadata, if any."""
    ANEW = "anew"
    """Nothing stays but the offset, which only the writer may lower, durably."""


def check_digest(actual: Digest, expected: Digest | None) -> None:
    """Raise `DigestMismatchError` unless the content is what was expected."""
    if expected is not None and actual != expected:
        raise DigestMismatchError(expected=expected, actual=actual)
