"""What happens to an object on its way, told as it happens. Bars are the CLI's affair."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

__all__ = ["Event", "Listener", "silent"]

Kind = Literal[
    "resolving",
    "resolved",
    "queued",
    "waiting",
    "resumed",
    "downloading",
    "retrying",
    "exists",
    "done",
    "mounted",
    "uploading",
]


class Event(NamedTuple):
    """One step of one object."""

    kind: Kind
    name: str
    """A digest, or the reference while it is being resolved."""
    media_type: str | None
    offset: int
    """Bytes so far."""
    total: int | None
    """Bytes in all."""


Listener = Callable[[Event], None]
"""Called from several threads at once; an exception from it fails the object."""


def silent(event: Event) -> None:
    """Listen to nothing."""
