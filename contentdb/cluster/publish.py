"""Makes content that came in a blob: bytes first, then the row that promises them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from contentdb.cluster.catalog import blobs
from contentdb.cluster.catalog.keep import keep
from contentdb.cluster.catalog.record import Candidate, FencedError, Recorded, record
from contentdb.cluster.damage import settled
from contentdb.cluster.extents import Place, pack_runs
from contentdb.values import NewInfo

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from contentdb.cluster.catalog.ingests import IngestKey
    from contentdb.cluster.extents import Run
    from contentdb.cluster.resources import Resources
    from contentdb.cluster.segments import Segments
    from contentdb.content import Info
    from contentdb.digest import Digest
    from contentdb.labels import Labelling

__all__ = [
    "conclude",
    "find_whole",
    "keep_met",
    "label_stored",
    "place_bytes",
    "place_runs",
    "publish",
    "session_of",
]


def _key(digest: Digest, number: str) -> str:
    hexadecimal = digest.encoded
    return f"blobs/{digest.algorithm}/{hexadecimal[:2]}/{hexadecimal}.{number}"


def session_of(place: Place) -> int:
    """Return the session in a key."""
    name = (place.key or "").rpartition("/")[2]
    return int(name.split(".")[1])


def place_bytes(resources: Resources, digest: Digest, data: bytes) -> Place:
    """Write bytes as one object, unless they are few enough for the row; return their place."""
    if len(data) <= resources.meta.inline_bytes:
        return Place(inline=data)
    key = _key(digest, resources.session.new_key())
    resources.bucket.put(key, data)
    return Place(key)


def place_runs(resources: Resources, digest: Digest, segments: Segments) -> Place:
    """Write the manifest of content in runs of objects: with it a lost row can be made again.

    Raises:
        FencedError: The session that wrote the segments has ended: some may have been removed.
    """
    runs = segments.runs
    number = resources.session.new_key()
    if segments.session not in {0, int(number.partition(".")[0])}:
        raise FencedError(segments.session)
    key = f"{_key(digest, number)}.m"
    resources.bucket.put(key, json.dumps(pack_runs(runs)).encode())
    return Place(key, runs)


def publish(
    resources: Resources,
    namespace: str,
    candidate: Candidate,
    *,
    ingest: IngestKey | None = None,
    spare: Iterable[Run] = (),
) -> Recorded:
    """Make one candidate a blob; durable on return.

    Raises:
        FencedError: The session was judged dead, or another writer has the ref: nothing happened.
        LeaseEndedError: The lease has ended: nothing happened.
    """
    session = resources.session
    inline = candidate.place.inline is not None
    number = session.id if inline else session_of(candidate.place)
    found = record(
        resources.database,
        namespace,
        number,
        [candidate],
        ingest=ingest,
        channel=session.channel,
        spare=spare,
        lease=resources.lease,
    )
    return found[0]


def conclude(resources: Resources, namespace: str, done: Recorded) -> Info:
    """Return the Info of what was recorded; label it if it was there before.

    It may be deleted by now: then the Info has the time at which it came.
    """
    candidate = done.candidate
    if done.created_ns is not None:
        return NewInfo.of(candidate.info(done.created_ns))
    labels = candidate.labels
    found = label_stored(resources, namespace, candidate.digest, labels, whole=False)
    return found or candidate.info(done.since_ns)


def find_whole(
    resources: Resources, namespace: str, digest: Digest, *, look: bool = True
) -> blobs.Stored | None:
    """Return a blob that is not damaged; with ``look`` as `settled` finds it."""
    found = blobs.find(resources.database, namespace, digest)
    if found is not None and look:
        (found,) = settled(resources, found)
    return None if found is None or found.damaged else found


def keep_met(resources: Resources, namespace: str, found: Sequence[blobs.Stored]) -> set[Digest]:
    """Keep blobs that a caller is told are stored: its lease has them, and a grace begins. Durable.

    Return those that were not deleted meanwhile.

    Raises:
        LeaseEndedError: The lease has ended.
    """
    met = [one.info.digest for one in found if one.is_due or resources.lease is not None]
    known = {one.info.digest for one in found}.difference(met)
    return known | keep(resources.database, namespace, resources.lease, met) if met else known


def label_stored(
    resources: Resources,
    namespace: str,
    digest: Digest,
    labels: Labelling,
    *,
    whole: bool = True,
) -> Info | None:
    """Set labels on content that is stored, durably; return None if it is not stored.

    It is kept as `keep_met` says. With ``whole``, content whose objects are gone or cut off is not
    stored.
    """
    found = find_whole(resources, namespace, digest, look=whole)
    if found is None or not keep_met(resources, namespace, [found]):
        return None
    new = labels.stored

    def merge(old: dict[str, str]) -> Mapping[str, str] | None:
        return None if new.items() <= old.items() else old | dict(new)

    if new.items() <= found.info.labels.items():
        return found.info
    if not blobs.relabel(resources.database, namespace, digest, merge):
        return None
    again = blobs.find(resources.database, namespace, digest)
    return None if again is None else again.info
