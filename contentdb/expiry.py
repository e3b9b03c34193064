"""How long content is kept: the grace of every engine, and the label `containerd.io/gc.expire`."""

from __future__ import annotations

from contentdb.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Final

__all__ = ["EXPIRE", "GRACE_NS", "SLACK_NS", "parse_expiry", "write_expiry"]

EXPIRE: Final = "containerd.io/gc.expire"
"""Its value is a time as in RFC 3339."""

GRACE_NS: Final = 24 * 3600 * 10**9
"""Nanoseconds for which content stays that nothing refers to, after the last answer about it."""
SLACK_NS: Final = GRACE_NS // 4
"""A row's time is set so much further ahead, and not again before half of this is over."""


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
