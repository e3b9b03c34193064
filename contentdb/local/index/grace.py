"""Grace: how long a blob stays that a caller was told is stored, and how that is written down.

`blobs.review_at` says when a collector looks at a blob; while that lies ahead the blob is fresh. It
is set further ahead than the promise, so that the next answer need not write: a row is written
anew only once less than the promise and half of the slack is left, and an answer from memory needs
no look at the row for as long as the other half lasts.
"""

from __future__ import annotations

import time

from contentdb.expiry import GRACE_NS, SLACK_NS
from contentdb.light_typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing import Final

__all__ = [
    "COLLECTING_SINCE",
    "GRACE_NS",
    "SEEN_NS",
    "Met",
    "Review",
    "review",
    "review_after_use",
    "reviews_of_unused",
]

SEEN_NS: Final = SLACK_NS // 2
"""Nanoseconds for which a process need not look again at a row that it saw or made fresh."""
_MOST: Final = 16_384
COLLECTING_SINCE: Final = "collecting_since"
"""The setting that says since when answers are written down; there from the first collection on."""


class Review(NamedTuple):
    """What a row's `review_at` becomes when a caller is told that the blob is stored."""

    at_ns: int
    below_ns: int
    """A row whose time is not before this is left as it is."""


def review() -> Review:
    """Return the times for an answer that is given now."""
    now_ns = time.time_ns()
    return Review(now_ns + GRACE_NS + SLACK_NS, now_ns + GRACE_NS + SLACK_NS // 2)


def review_after_use(used_ns: int) -> int:
    """Return the time of review of a blob that was used last, or stored, at a time."""
    return used_ns + GRACE_NS + SLACK_NS


def reviews_of_unused(since_ns: int) -> int:
    """Return up to which time of review blobs were certainly not used since a time.

    Some were not used for up to three hours longer, and are left: see `Review.below_ns`.
    """
    return since_ns + GRACE_NS + SLACK_NS // 2


class Met:
    """Blobs whose rows were fresh, and on disk, when this process last looked."""

    __slots__ = ("_noted",)

    def __init__(self) -> None:
        self._noted: dict[str, int] = {}

    def is_recent(self, digest: str) -> bool:
        """Return whether a row's grace need not be looked at again yet, by the wall clock."""
        noted_ns = self._noted.get(digest)
        return noted_ns is not None and 0 <= time.time_ns() - noted_ns < SEEN_NS

    def note(self, digest: str) -> None:
        """Note that a row is fresh now; the oldest notes are dropped first."""
        if len(self._noted) >= _MOST:
            self._noted.pop(next(iter(self._noted), ""), None)
        self._noted[digest] = time.time_ns()
