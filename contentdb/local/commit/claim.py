"""Give this namespace the content of another one, without sending its bytes again.

Only in a store opened with ``sharing="shared"``, which is containerd's default: a client that
knows a digest then gets the content, and learns that another namespace holds it. With
``"isolated"`` the client must send the bytes.
"""

from __future__ import annotations

from contextlib import closing

from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.commit.candidate import candidate_of
from contentdb.local.commit.publish import conclude, pack_up
from contentdb.local.damage import sync_blob
from contentdb.local.index import Outcome
from contentdb.local.packed import read_record, why_record_damaged
from contentdb.local.reservation import Reservation

if TYPE_CHECKING:
    from contentdb.content import Info
    from contentdb.digest import Digest
    from contentdb.labels import Labelling
    from contentdb.local.commit.candidate import Candidate
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
    if found is None and parts.packs is not None:
        return _packed_elsewhere(parts, digest)
    row = None if found is None else parts.index.elsewhere(digest)
    if found is None or row is None or row.size != found.st_size:
        return None
    whole = parts.index.vouches(digest, found.st_mtime_ns) or parts.shards.holds(
        digest, row.size, row.checksum
    )
    return row if whole else None


def _packed_elsewhere(parts: Parts, digest: Digest) -> Blob | None:
    row = parts.index.elsewhere(digest)
    if row is None or row.location is None:  # a loose blob whose file is gone
        return None
    damage = why_record_damaged(parts, digest, row, parts.index.elsewhere)
    return row if damage is None else None


def claim(parts: Parts, digest: Digest, labels: Labelling) -> Info | None:
    """Record another namespace's blob in this one; durable. Return None if no namespace has it."""
    row = elsewhere(parts, digest)
    if row is None:
        return None
    with closing(Reservation(parts)) as room:
        room.cover(row.size)
        made = candidate_of(parts, digest, row.size, row.checksum, labels)
        made.reserved = room.name
        outcome = claim_as(parts, made, row)
        if outcome is Outcome.GONE:
            return None
        room.settle()
        return conclude(parts, made, outcome)


def claim_as(parts: Parts, made: Candidate, row: Blob) -> Outcome:
    """Record another namespace's blob in this one; return GONE if it was deleted meanwhile.

    Claim and delete run one after the other, under one lock: the delete looks under it for rows
    of other namespaces, and the claim makes its row only if the file is still there.
    """
    if row.location is not None:  # a record belongs to one namespace, so it is copied
        content = read_record(parts, made.digest, row, parts.index.elsewhere)
        return Outcome.GONE if content is None else pack_up(parts, made, content)
    if parts.durable and parts.sharing.unsynced:
        sync_blob(parts, made.digest)
    (outcome,) = parts.index.record([made])
    return outcome
