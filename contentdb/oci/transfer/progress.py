"""Progress events of a transfer. The CLI draws bars from them."""

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
    """Bytes transferred so far."""
    total: int | None
    """Size in bytes."""


Listener = Callable[[Event], None]
"""Called from several threads at once; an exception from it fails the object."""


def silent(event: Event) -> None:
    """Ignore an event."""
