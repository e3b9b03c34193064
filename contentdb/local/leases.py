"""The end of leases: whether one is dead, and how it lets go of what it kept."""

from __future__ import annotations

import time

from contentdb.light_typing import TYPE_CHECKING
from contentdb.local import locks

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentdb.local.index import LeaseKey, LeaseRow
    from contentdb.local.resources import Parts

__all__ = ["end_dead_leases", "end_lease", "is_dead"]


def is_dead(parts: Parts, row: LeaseRow) -> bool:
    """Return whether a lease was ended, has expired, or was held by a process that is dead."""
    if row.expires_ns is not None and row.expires_ns <= time.time_ns():
        return True
    return row.file is not None and not locks.is_held(parts.ingest, row.file)


def end_lease(parts: Parts, lease: LeaseKey, pause: Callable[[], object] = lambda: None) -> None:
    """End a lease and let go of what it kept; durable. ``pause`` is called between two slices."""
    parts.index.end_lease(lease)
    for _ in parts.index.let_go_of_lease(lease):
        pause()


def end_dead_leases(parts: Parts, pause: Callable[[], object] = lambda: None) -> None:
    """End the leases that are dead, of this namespace."""
    for row, _ in parts.index.lease_rows():
        if is_dead(parts, row):
            end_lease(parts, row.key, pause)
