"""Counts the tries of one step, and waits between them: longer each time, and never in step.

The waits are those of https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/:
many clients that failed at one moment must not come back at one moment.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from urllib3 import Retry
from urllib3.exceptions import InvalidHeader

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MOST_PAUSE_S", "Tries", "retry_after"]

MOST_PAUSE_S: Final = 60.0
"""No server makes us wait longer than this between two tries."""
_FIRST_S: Final = 0.25


class Tries:
    """The tries of one step.

    Args:
        most: How many may follow the first one.
        pause: Called with the seconds to wait.
    """

    def __init__(self, most: int, pause: Callable[[float], object]) -> None:
        self._left = most
        self._pause = pause
        self._wait_s = _FIRST_S

    def again(self, after_s: float | None = None) -> bool:
        """Wait, and return True; or return False at once if there is no try left.

        Args:
            after_s: The seconds that the server asked for.
        """
        if self._left <= 0:
            return False
        self._left -= 1
        self._wait_s *= 2
        chance = random.random()  # noqa: S311 - it guards nothing
        wait_s = self._wait_s * (1 + chance) / 2 if after_s is None else after_s * (1 + chance / 10)
        self._pause(min(wait_s, MOST_PAUSE_S))
        return True


def retry_after(text: str | None) -> float | None:
    """Parse a Retry-After header, seconds or a date (RFC 9110, 10.2.3); None if it is neither."""
    if not text:
        return None
    try:
        return min(Retry().parse_retry_after(text), MOST_PAUSE_S)
    except (InvalidHeader, ValueError, OverflowError):
        return None
