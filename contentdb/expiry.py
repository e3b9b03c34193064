"""The label `containerd.io/gc.expire`: until when a blob or a lease is kept, as RFC 3339."""

from __future__ import annotations

from contentdb.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Final

__all__ = ["EXPIRE", "parse_expiry", "write_expiry"]

EXPIRE: Final = "containerd.io/gc.expire"


def parse_expiry(text: str) -> int:
    """Return the label's time in nanoseconds since the epoch, a multiple of a microsecond.

    Raises:
        ValueError: It is no time, or one without an offset from UTC.
    """
    from datetime import UTC, datetime, timedelta  # few blobs expire

    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text[:80]!r} has no offset from UTC")
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


def write_expiry(moment_ns: int) -> str:
    """Undo `parse_expiry`."""
    from datetime import UTC, datetime, timedelta  # as above

    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return (epoch + timedelta(microseconds=moment_ns // 1000)).isoformat()
