"""How long a blob stays that a caller was told is stored, in every engine."""

from __future__ import annotations

from contentdb.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Final

__all__ = ["GRACE_NS", "SLACK_NS"]

GRACE_NS: Final = 24 * 3600 * 10**9
"""Nanoseconds for which content stays that nothing refers to, after the last answer about it."""
SLACK_NS: Final = GRACE_NS // 4
"""A row's time is set so much further ahead, and not again before half of this is over."""
