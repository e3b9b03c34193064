"""Collection: take what nothing keeps, tell what keeps a blob, and count what waits."""

from __future__ import annotations

import time
from functools import partial

from contentdb.errors import NotFoundError
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.disk_reserve import make_room
from contentdb.local.engine.look_after import LookAfter
from contentdb.local.index import State
from contentdb.values import Collected, QueueStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentdb.content import Collection, Policy, Step
    from contentdb.digest import Digest
    from contentdb.engine import CollectTerms
    from contentdb.local.resources import Parts

__all__ = ["Collect"]


class Collect(LookAfter):
    """The engine's part in `contentdb.content.Collector`."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        parts.quota.make_room = partial(_make_room, parts)

    def collect(self, terms: CollectTerms, progress: Callable[[Collected], object]) -> Collection:
        """Take what nothing keeps; the disk's reserve makes room for that on a full disk."""
        from contentdb.local.upkeep.collect import Run
        from contentdb.local.upkeep.rehearse import Rehearsal

        if not terms.dry_run:
            make_room(self._parts.root)
        run = (Rehearsal if terms.dry_run else Run)(self._parts, self._by_policy(terms))
        for one in self._run_steps(run.steps()):
            progress(one)
        return run.result

    def _by_policy(self, terms: CollectTerms) -> CollectTerms:
        """Return the terms, where they are silent those of the namespace's policy."""
        from contentdb.local.upkeep.evict import terms_of

        with self._gate:
            policy = self._parts.index.policy()
        if policy is None:
            return terms
        own = terms_of(policy)
        if terms.grace_ns is None:
            terms = terms._replace(grace_ns=own.grace_ns)
        if terms.is_of_cache or terms.filters:
            return terms
        return terms._replace(
            max_bytes=own.max_bytes, low_bytes=own.low_bytes, unused_ns=own.unused_ns,
            filters=own.filters,
        )  # fmt: skip

    def policy(self) -> Policy | None:
        """Return the namespace's policy."""
        with self._gate:
            return self._parts.index.policy()

    def set_policy(self, policy: Policy | None) -> None:
        """Set the namespace's policy, or remove it; what goes by it, from now on, is announced."""
        from contentdb.local.upkeep.collect import begin_collecting

        with self._gate:
            parts = self._parts
            if policy is not None:
                begin_collecting(parts)
                parts.sharing.announce(parts.top, bounded=True)
            parts.index.set_policy(policy)

    def why(self, digest: Digest) -> tuple[Step, ...]:
        """Return what keeps a blob."""
        from contentdb.local.index.why import FOREVER_NS, Horizon

        with self._gate:
            row = self._parts.index.blob(digest)
            if row is None or row.state == State.TOMBSTONE:
                raise NotFoundError(digest=digest)
            index = self._parts.index
            named = index.why(digest, Horizon(FOREVER_NS))  # rather than that it is new or old
            return named or index.why(digest, Horizon(time.time_ns(), index.old_before()))

    def queue_status(self) -> QueueStatus:
        """Count what is in the queue, and the leases that live."""
        from contentdb.local.index.grace import GRACE_NS
        from contentdb.local.leases import is_dead
        from contentdb.local.upkeep.collect import begins_ns

        with self._gate:
            parts = self._parts
            queue = parts.index.queue(time.time_ns())
            leases = sum(not is_dead(parts, row) for row, _ in parts.index.lease_rows())
            totals = parts.index.totals()
            held = (None, None) if totals is None else (totals.bytes, totals.reserved)
            return QueueStatus(*queue, leases, begins_ns(parts, GRACE_NS), *held)


def _make_room(parts: Parts, size: int) -> bool:
    from contentdb.local.upkeep.evict import make_room as evict

    return evict(parts, size)
