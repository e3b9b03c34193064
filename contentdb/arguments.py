"""What callers say beside content: looked at here, so that every store refuses the same."""

from __future__ import annotations

import math
import time

from contentdb.errors import FailedPreconditionError, InvalidArgumentError

__all__ = ["begun_for", "check_progress", "contradiction", "deadline_of"]


def deadline_of(wait: object) -> float:
    """Until when by `time.monotonic` a caller waits: so many seconds, or with True for ever.

    Raises:
        InvalidArgumentError: It is no such number.
    """
    if not isinstance(wait, int | float) or not wait >= 0:
        raise InvalidArgumentError(f"a wait is 0 or more seconds, or True, not {wait!r:.40}")
    return time.monotonic() + (math.inf if wait is True else wait)


def check_progress(progress: object) -> None:
    """Raise `InvalidArgumentError` for what is there to be called and cannot be."""
    if progress is not None and not callable(progress):
        kind = type(progress).__name__
        raise InvalidArgumentError(f"progress is a function of bytes done and total, not {kind}")


def begun_for(ref: str, declared: object, wanted: object) -> FailedPreconditionError:
    """Say that a commit expects another digest than its ingest was begun for."""
    return FailedPreconditionError(
        f"ref {ref!r:.80} was begun for content {declared}, not {wanted}; "
        "commit it as it was begun, or resume=False starts over and abort() drops it"
    )


def contradiction(ref: str, declared: str) -> FailedPreconditionError:
    """Say that an ingest cannot be resumed for something else than it was begun for."""
    return FailedPreconditionError(
        f"ref {ref!r:.80} was begun for {declared}; resume it as it was begun, or "
        "resume=False starts over and abort() drops it"
    )
