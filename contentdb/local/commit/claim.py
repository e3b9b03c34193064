"""Content that another namespace holds, made this one's too without its bytes being sent again.

Only where the store was opened with ``sharing="shared"``, which is containerd's default: any
client that knows a digest gets the content then, and learns that somebody has it. With
``"isolated"`` it has to have the bytes.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from contentdb.local.commit.publish import Candidate, settled
from contentdb.local.damage import sync_blob
from contentdb.local.index import Outcome

if TYPE_CHECKING:
    from contentdb.content import Info
    from contentdb.digest import Digest
    from contentdb.labels import Labelling
    from contentdb.local.index import Blob
    from contentdb.local.resources import Parts

__all__ = ["claim", "claim_as", "elsewhere"]


def elsewhere(parts: Parts, digest: Digest) -> Blob | None:
    """The row that another namespace has of a blob, if its file is as that row says.

    A file of which no row has the time is read, against the row's checksum.
    """
    if not parts.shares:
        return None
    found = parts.shards.stat(digest)
    row = None if found is None else parts.index.elsewhere(digest)
    if found is None or row is None or row.size != found.st_size:
        return None
    whole = parts.index.vouches(digest, found.st_mtime_ns) or parts.shards.holds(
        digest, row.size, row.checksum
    )
    return row if whole else None


def claim(parts: Parts, digest: Digest, labels: Labelling) -> Info | None:
    """Give this namespace a row of what another one holds; durable. None if none does."""
    row = elsewhere(parts, digest)
    if row is None:
        return None
    made = Candidate(parts.shards, digest, row.size, row.checksum, labels.new, time.time_ns())
    made.labelling = labels
    outcome = claim_as(parts, made)
    return None if outcome is Outcome.GONE else settled(parts, made, outcome)


def claim_as(parts: Parts, made: Candidate) -> Outcome:
    """Record what another namespace holds; GONE if it was deleted there meanwhile.

    A delete and this have an order: the row is made under the lock under which the delete looks
    whether any other namespace has one, and only if the file is still there.
    """
    if parts.durable and parts.sharing.unsynced:
        sync_blob(parts, made.digest)
    (outcome,) = parts.index.record([made])
    return outcome
