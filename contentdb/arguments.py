"""Checks of a call's options, shared so that every store refuses the same arguments."""

from __future__ import annotations

import math
import time

from contentdb.errors import FailedPreconditionError, InvalidArgumentError

__all__ = ["begun_for", "check_progress", "contradiction", "deadline_of"]


def deadline_of(wait: object) -> float:
    """Return the `time.monotonic` at which a wait of so many seconds ends; for True, infinity.

    Raises:
        InvalidArgumentError: ``wait`` is neither True nor a number of 0 or more.
    """
    if not isinstance(wait, int | float) or not wait >= 0:
        raise InvalidArgumentError(f"a wait is 0 or more seconds, or True, not {wait!r:.40}")
    return time.monotonic() + (math.inf if wait is True else wait)


def check_progress(progress: object) -> None:
    """Raise `InvalidArgumentError` for a ``progress`` that is not None and cannot be called."""
    if progress is not None and not callable(progress):
        kind = type(progress).__name__
        raise InvalidArgumentError(f"progress is a function of bytes done and total, not {kind}")


def begun_for(ref: str, declared: object, wanted: object) -> FailedPreconditionError:
    """Make the error for a commit that expects another digest than its ingest declared."""
    return FailedPreconditionError(
        f"ref {ref!r:.80} was begun for content {declared}, not {wanted}; "
        "commit it as it was begun, or resume=False starts over and abort() drops it"
    )


def contradiction(ref: str, declared: str) -> FailedPreconditionError:
    """Make the error for a resume that contradicts what its ingest declared."""
    return FailedPreconditionError(
        f"ref {ref!r:.80} was begun for {declared}; resume it as it was begun, or "
        "resume=False starts over and abort() drops it"
    )
