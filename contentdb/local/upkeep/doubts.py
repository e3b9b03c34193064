"""Decide whether a file without a row is an orphan, or a commit is about to record it.

Nothing on the disk tells the two apart. But a commit of this store object is known, one of another
keeps that store open, and each records its row soon, or never. So the file is checked again until
it has its row, is gone, is older than a commit takes, or the store has no other user.
"""

from __future__ import annotations

import os
import time
from collections import deque

from contentdb.light_typing import TYPE_CHECKING, NamedTuple
from contentdb.local.index import State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from contentdb.digest import Digest
    from contentdb.local.resources import Parts

__all__ = ["GRACE_S", "POLL_S", "Doubts", "is_orphan", "may_be_in_flight"]

GRACE_S: Final = 60.0
"""Seconds; longer than a disk takes for the few syncs between a name and its row."""
POLL_S: Final = 0.05
_MOST: Final = 10_000


def is_orphan(parts: Parts, digest: Digest) -> bool:
    """Return whether a whole file has no row and no claim, or a damaged row, at this moment."""
    row = parts.index.blob(digest)
    if row is None:
        return not parts.index.claims(digest)
    return row.state == State.DAMAGED


def may_be_in_flight(parts: Parts, digest: Digest, found: os.stat_result) -> bool:
    """Return whether a commit may be about to record this file.

    Call this after the look at the file and before the last look at the index. A commit that named
    the file before is then seen here, or has ended, or was interrupted.
    """
    age_s = time.time() - found.st_ctime  # a link or a rename sets it; no call can set it back
    if age_s >= GRACE_S:
        return False
    return digest in list(parts.in_flight.values()) or not parts.sharing.is_alone()


class _Doubt(NamedTuple):
    digest: Digest
    found: os.stat_result
    until: float
    """On the monotonic clock, in seconds."""


class Doubts:
    """Files that may be orphans and are checked again; `are_many` bounds their number."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._doubts: deque[_Doubt] = deque()

    @property
    def are_many(self) -> bool:
        """Whether the caller should `settle` some before it adds more."""
        return len(self._doubts) >= _MOST

    def is_orphan(self, digest: Digest) -> bool:
        """Return whether the file is an orphan for certain; if it may be, keep it for `settle`."""
        found = self._parts.shards.stat(digest)
        if found is None:
            return False
        age_s = min(max(0.0, time.time() - found.st_ctime), GRACE_S)
        doubt = _Doubt(digest, found, time.monotonic() + GRACE_S - age_s)
        verdict = self._judge(doubt)
        if verdict is None:
            self._doubts.append(doubt)
        return bool(verdict)

    def settle(self) -> Iterator[Digest | None]:
        """Yield the orphans among the kept files; None asks the caller to wait `POLL_S` seconds."""
        while self._doubts:
            verdict = self._judge(self._doubts[0])
            if verdict is None:
                yield None
                continue
            digest = self._doubts.popleft().digest
            if verdict:
                yield digest

    def _judge(self, doubt: _Doubt) -> bool | None:
        """Return whether the file that was seen is an orphan; None if it is too early to tell."""
        parts, digest, found, until = self._parts, *doubt
        if not is_orphan(parts, digest) or not _is_the_same(parts, doubt):
            return False
        if time.monotonic() < until and may_be_in_flight(parts, digest, found):
            return None
        return is_orphan(parts, digest) and _is_the_same(parts, doubt)


def _is_the_same(parts: Parts, doubt: _Doubt) -> bool:
    """Return whether the file is still the same and unchanged; another one is judged anew."""
    now, found = parts.shards.stat(doubt.digest), doubt.found
    return now is not None and os.path.samestat(now, found) and now.st_ctime_ns == found.st_ctime_ns
