"""Keep from a collector what a caller is told is stored: rule W4 of docs/design.md.

A blob that is found stored is made fresh, and a lease's too, by one small transaction. Most answers
need none: the row was fresh enough when this process last saw or wrote it, not long ago; or no
process has ever asked for a collection in this store.
"""

from __future__ import annotations

import time

from contentdb.errors import NoSpaceError
from contentdb.light_typing import TYPE_CHECKING, Enum
from contentdb.local.disk_reserve import make_room
from contentdb.local.index import State
from contentdb.local.index.grace import review
from contentdb.logs import warn

if TYPE_CHECKING:
    from typing import Final

    from contentdb.digest import Digest
    from contentdb.local.resources import Parts

__all__ = ["Met", "keep_met", "meet", "touch"]

_UNWRITTEN: Final = "the disk is full: content was found stored, and its grace is not begun anew"


class Met(Enum):
    """What came of `meet`."""

    GONE = "gone"
    """The blob was deleted meanwhile."""
    KNOWN = "known"
    """This process has seen it fresh on disk not long ago, or no process collects."""
    FRESH = "fresh"
    """The row says so, and may not be on disk: sync the index, then `note` it."""


def meet(parts: Parts, digest: Digest) -> Met:
    """Make a blob fresh that was found stored, and its lease's. Not durable yet: see `Met`.

    Raises:
        LeaseEndedError: The lease has ended.
        NoSpaceError: The disk is full, and the blob is not fresh, or it is for a lease.
    """
    if not _is_due(parts, digest):
        return Met.KNOWN
    is_enough = parts.lease is None and _is_fresh(parts, digest)
    return Met.FRESH if is_enough or _write(parts, digest) else Met.GONE


def keep_met(parts: Parts, digest: Digest) -> bool:
    """Make a blob fresh, as `meet`; durable, if the store is. Return False if it is gone."""
    met = meet(parts, digest)
    if met is Met.FRESH:
        if parts.durable:
            parts.index.sync()  # a row can be read before it is on disk
        parts.met.note(digest)
    return met is not Met.GONE


def touch(parts: Parts, digest: Digest) -> bool:
    """Make a blob fresh that a caller asked for; not durable. Return False if it is gone."""
    if not _is_due(parts, digest) or _is_fresh(parts, digest):
        return True
    return parts.index.meet(digest, None)


def _is_due(parts: Parts, digest: Digest) -> bool:
    if parts.lease is None and (parts.read_only or not parts.sharing.collects):
        return False
    if not parts.met.is_recent(digest):
        return True
    # The lease may have ended since, or another object may have dropped the item.
    return parts.lease is not None and not parts.index.keeps(parts.lease, digest)


def _is_fresh(parts: Parts, digest: Digest) -> bool:
    row = parts.index.blob(digest)
    if row is None or row.state != State.LIVE:
        return False
    return row.review_ns is not None and row.review_ns >= review().below_ns


def _write(parts: Parts, digest: Digest) -> bool:
    try:
        return parts.index.meet(digest, parts.lease)
    except NoSpaceError:
        make_room(parts.root)
    try:
        return parts.index.meet(digest, parts.lease)
    except NoSpaceError:
        row = parts.index.blob(digest)
        is_fresh = row is not None and (row.review_ns or 0) > time.time_ns()
        if parts.lease is not None or not is_fresh:
            raise
        warn("local.met", _UNWRITTEN, digest=digest)
        return True
