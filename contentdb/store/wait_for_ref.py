"""Hold a ref, waiting while another writer holds it."""

from __future__ import annotations

import time

from contentdb.errors import InvalidArgumentError, RefLockedError
from contentdb.light_typing import TYPE_CHECKING
from contentdb.logs import inform

if TYPE_CHECKING:
    from typing import Final

    from contentdb.declared import Declared, Takeover
    from contentdb.engine import Engine, HeldIngest

__all__ = ["wait_for_ref"]

_FOREVER_S: Final = float("inf")
_SLICE_S: Final = 0.5
"""Longest time in which an engine waits for a held ref; then it may be closed, or the wait end."""


def _seconds_of(wait: object) -> float:
    """Return how many seconds to wait for a ref; True means without end.

    Raises:
        InvalidArgumentError: ``wait`` is neither True nor a number of 0 or more.
    """
    if not isinstance(wait, int | float) or not wait >= 0:
        raise InvalidArgumentError(f"a wait is 0 or more seconds, or True, not {wait!r:.40}")
    return _FOREVER_S if wait is True else wait


def wait_for_ref(
    engine: Engine, ref: str, declared: Declared, takeover: Takeover, *, wait: float | bool
) -> HeldIngest:
    """Begin an ingest or take it over, waiting for at most ``wait`` seconds; True is without end.

    A wait is told in the log, with the holder.

    Raises:
        RefLockedError: Another writer held the ref for all of that time.
        AlreadyExistsError: The expected content is stored; no ingest was made or changed.
    """
    deadline = time.monotonic() + _seconds_of(wait)
    told = False
    while True:
        left_s = min(_SLICE_S, max(0.0, deadline - time.monotonic()))
        try:
            return engine.hold(ref, declared, takeover, wait_s=left_s)
        except RefLockedError as error:
            if time.monotonic() >= deadline:
                raise
            if not told:
                inform("store", "waiting for a ref", ref=ref, holder=error.holder)
                told = True
