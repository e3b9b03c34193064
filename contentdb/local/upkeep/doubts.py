"""A file without a row: an orphan, or a commit between its name and its row?

Nothing on the disk tells the two apart. But a commit of this store is known, one of another keeps
that store open, and each gets its row soon, or never: so the file is looked at again until it has
its row, is gone, is older than a commit takes, or the store has no other user.
"""

from __future__ import annotations

import os
import time
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from contentdb.local.index import State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentdb.digest import Digest
    from contentdb.local.resources import Parts

__all__ = ["GRACE_S", "POLL_S", "Doubts", "is_orphan", "may_be_in_flight"]

GRACE_S: Final = 60.0
"""Longer than a disk takes for the few syncs between a name and its row."""
POLL_S: Final = 0.05
_MOST: Final = 10_000


def is_orphan(parts: Parts, digest: Digest) -> bool:
    """Whether the index has no use for a file that is whole, at this moment."""
    row = parts.index.blob(digest)
    if row is None:
        return not parts.index.claims(digest)
    return row.state == State.DAMAGED


def may_be_in_flight(parts: Parts, digest: Digest, found: os.stat_result) -> bool:
    """Whether a commit may be about to record this file.

    To be asked between two looks: one at the file, and the last one at the index. A commit that
    has given the file its name before is then seen here, or has ended, or was cut off.
    """
    age_s = time.time() - found.st_ctime  # a link or a rename moves this time, and no one else can
    if age_s >= GRACE_S:
        return False
    return digest in list(parts.in_flight.values()) or not parts.sharing.is_alone()


class _Doubt(NamedTuple):
    digest: Digest
    found: os.stat_result
    until: float
    """By the clock that never jumps."""


class Doubts:
    """Files of which only time will tell; so many that memory is bounded."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._doubts: deque[_Doubt] = deque()

    @property
    def are_many(self) -> bool:
        """Whether some should be settled before there are more."""
        return len(self._doubts) >= _MOST

    def is_orphan(self, digest: Digest) -> bool:
        """Whether the file is an orphan for certain; where it may be one, it is kept in mind."""
        found = self._parts.shards.stat(digest)
        if found is None:
            return False
        age_s = min(max(0.0, time.time() - found.st_ctime), GRACE_S)
        doubt = _Doubt(digest, found, time.monotonic() + GRACE_S - age_s)
        verdict = self._judged(doubt)
        if verdict is None:
            self._doubts.append(doubt)
        return bool(verdict)

    def settle(self) -> Iterator[Digest | None]:
        """The orphans among what is kept in mind; None means that time must pass, `POLL_S`."""
        while self._doubts:
            verdict = self._judged(self._doubts[0])
            if verdict is None:
                yield None
                continue
            digest = self._doubts.popleft().digest
            if verdict:
                yield digest

    def _judged(self, doubt: _Doubt) -> bool | None:
        """Whether the file that was seen is an orphan; None where that cannot be told yet."""
        parts, digest, found, until = self._parts, *doubt
        if not is_orphan(parts, digest) or not _is_the_same(parts, doubt):
            return False
        if time.monotonic() < until and may_be_in_flight(parts, digest, found):
            return None
        return is_orphan(parts, digest) and _is_the_same(parts, doubt)


def _is_the_same(parts: Parts, doubt: _Doubt) -> bool:
    """Whether it is that file still, untouched: any other has a story of its own."""
    now, found = parts.shards.stat(doubt.digest), doubt.found
    return now is not None and os.path.samestat(now, found) and now.st_ctime_ns == found.st_ctime_ns
