"""Give this namespace the content of another one, without sending its bytes again.

Only in a store opened with ``sharing="shared"``, which is containerd's default: a client that
knows a digest then gets the content, and learns that another namespace holds it. With
``"isolated"`` the client must send the bytes.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from contentdb.local.commit.publish import Candidate, conclude
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
    """Return another namespace's row of a blob, if the file matches that row.

    If no row has the file's time, the file is read and compared with the row's checksum.
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
    """Record another namespace's blob in this one; durable. Return None if no namespace has it."""
    row = elsewhere(parts, digest)
    if row is None:
        return None
    made = Candidate(parts.shards, digest, row.size, row.checksum, labels, time.time_ns())
    outcome = claim_as(parts, made)
    return None if outcome is Outcome.GONE else conclude(parts, made, outcome)


def claim_as(parts: Parts, made: Candidate) -> Outcome:
    """Record another namespace's blob in this one; return GONE if it was deleted meanwhile.

    Claim and delete run one after the other, under one lock: the delete looks under it for rows
    of other namespaces, and the claim makes its row only if the file is still there.
    """
    if parts.durable and parts.sharing.unsynced:
        sync_blob(parts, made.digest)
    (outcome,) = parts.index.record([made])
    return outcome
