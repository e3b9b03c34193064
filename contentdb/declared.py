"""What a caller declares of an ingest, and what a resume does with earlier declarations."""

from __future__ import annotations

from contentdb.digest import Digest
from contentdb.errors import (
    DigestMismatchError,
    FailedPreconditionError,
    InvalidArgumentError,
)
from contentdb.light_typing import TYPE_CHECKING, Enum, NamedTuple
from contentdb.metadata import pack_metadata

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Declared",
    "Takeover",
    "check_digest",
    "check_total",
    "contradiction",
    "declare",
]


class Declared(NamedTuple):
    """What a caller declares of an ingest; None where the caller gives nothing."""

    total: int | None
    expected: Digest | None
    metadata: str | None
    """As `pack_metadata` writes it."""

    def merged(self, ref: str, new: Declared) -> Declared:
        """Return what holds after a resume that declares ``new``; it may only add to this.

        Raises:
            FailedPreconditionError: It declares another total or another digest.
        """
        if None not in {self.total, new.total} and self.total != new.total:
            raise contradiction(ref, f"a total of {self.total} bytes, not {new.total}")
        if None not in {self.expected, new.expected} and self.expected != new.expected:
            raise contradiction(ref, f"content {self.expected}, not {new.expected}")
        return Declared(
            self.total if new.total is None else new.total,
            new.expected or self.expected,
            new.metadata or self.metadata,
        )

    def taken_over(self, ref: str, new: Declared, takeover: Takeover) -> Declared:
        """Return what holds after the next writer, which declares ``new``, takes the ingest over.

        Raises:
            FailedPreconditionError: ``AGREE`` meets a contradiction.
        """
        if takeover is Takeover.ANEW:
            return new
        if takeover is Takeover.AGREE:
            return self.merged(ref, new)
        voids = new.expected is not None or (
            None not in {self.total, new.total} and self.total != new.total
        )
        if takeover is Takeover.PREFER and not voids:
            total = self.total if new.total is None else new.total
            new = new._replace(total=total, expected=self.expected)
        if new.metadata is None or takeover is Takeover.PREFER:
            new = new._replace(metadata=self.metadata)
        return new

    def check_room(self, ref: str, new: Declared, held: int) -> None:
        """Raise if a first total is below the bytes held; the ingest would keep that total."""
        if self.total is None and new.total is not None and new.total < held:
            raise FailedPreconditionError(
                f"ref {ref!r:.80} has {held} bytes already, more than a total of {new.total}; "
                "give the right total, or resume=False starts over and abort() drops it"
            )


def declare(
    total: int | None, expected: str | None, metadata: Mapping[str, str] | None
) -> Declared:
    """Check and convert what a caller declares.

    Raises:
        InvalidArgumentError: A value is invalid whatever the content is.
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
    """What happens to the declarations in an ingest's row when the next writer takes it over."""

    AGREE = "agree"
    """Keep them. The writer may add to them; another total or digest is an error."""
    PREFER = "prefer"
    """Keep them unless the writer declares another total, or a digest, which identifies the whole
    content. The metadata stays: it describes the bytes in the file."""
    REPLACE = "replace"
    """Take the writer's total and digest instead, also where they are None; and its metadata, if
    that is not None."""
    ANEW = "anew"
    """Keep only the offset, which the writer itself lowers later, durably."""


def check_digest(actual: Digest, expected: Digest | None) -> None:
    """Raise `DigestMismatchError` if a digest is expected and the content has another one."""
    if expected is not None and actual != expected:
        raise DigestMismatchError(expected=expected, actual=actual)


def contradiction(ref: str, declared: str) -> FailedPreconditionError:
    """Make the error for a resume that contradicts what its ingest declared."""
    return FailedPreconditionError(
        f"ref {ref!r:.80} was begun for {declared}; resume it as it was begun, or "
        "resume=False starts over and abort() drops it"
    )
