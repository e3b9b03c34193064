"""Make room for new content within a namespace's bound: a collection down to its low mark."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

from contentdb.engine import CollectTerms
from contentdb.local.packs.replay import replay_all
from contentdb.local.reservation import give_back_dead
from contentdb.local.upkeep.collect import Run, is_at_work_here
from contentdb.local.upkeep.doubts import POLL_S
from contentdb.units import span_ns

if TYPE_CHECKING:
    from contentdb.content import Policy
    from contentdb.local.resources import Parts

__all__ = ["make_room", "terms_of"]


def terms_of(policy: Policy) -> CollectTerms:
    """Return the terms of a collection by a policy."""
    return CollectTerms(
        grace_ns=None if policy.grace is None else span_ns(policy.grace),
        full=False,
        dry_run=False,
        limit=None,
        ingests_ns=None,
        no_roots=False,
        max_bytes=policy.max_bytes,
        low_bytes=policy.low_bytes,
        unused_ns=None if policy.unused_for is None else span_ns(policy.unused_for),
        filters=policy.filters,
    )


def make_room(parts: Parts, size: int) -> bool:
    """Collect by the namespace's policy until there is room for so many more bytes.

    Only as far as its low mark, and only what was not used for longest. Return False if there was
    no room at any moment, and nothing was taken. A thread that is collecting takes nothing.
    """
    policy = parts.index.policy()
    if policy is None or policy.max_bytes is None:
        return True  # the bound was removed meanwhile
    if parts.packs is not None:  # what the dead have stored takes the room that they reserved
        replay_all(parts.packs, parts.index)
    give_back_dead(parts)
    if is_at_work_here(parts.ingest):  # from its `progress`: that run makes what room there is
        return has_room(parts, policy.max_bytes, size)
    run = Run(parts, terms_of(policy)._replace(unused_ns=None), room_bytes=size)
    with closing(run.steps()) as steps:
        for step in steps:
            if step is not None:
                continue
            if has_room(parts, policy.max_bytes, size):
                return True  # another process has made it
            time.sleep(POLL_S)
    if run.result.blobs or run.found_room:  # another writer may have taken it since: try again
        return True
    return has_room(parts, policy.max_bytes, size)


def has_room(parts: Parts, max_bytes: int, size: int) -> bool:
    """Return whether so many more bytes are within the bound now."""
    totals = parts.index.totals()
    return totals is None or totals.bytes + totals.reserved + size <= max_bytes
