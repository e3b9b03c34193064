"""Adopts the objects that no row names: a restored database does not know its newest blobs.

A key tells the digest, and a manifest the runs. Each blob is read and hashed before it gets a row.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from contentdb.cluster.catalog import trash
from contentdb.cluster.catalog.meta import read_epoch
from contentdb.cluster.catalog.record import Candidate, FencedError, record_found
from contentdb.cluster.damage import examine
from contentdb.cluster.extents import Place, size_of, uncovered, unpack_runs
from contentdb.cluster.fetch import MissingError, fetch
from contentdb.cluster.mark import write_mark
from contentdb.cluster.upkeep.names import BLOBS, parse_key
from contentdb.cluster.upkeep.prune import owns_bucket, was_restored
from contentdb.digest import Hasher
from contentdb.engine import Adopted
from contentdb.labels import NO_LABELS
from contentdb.logs import warn

if TYPE_CHECKING:
    from contentdb.cluster.objects import Listed
    from contentdb.cluster.resources import Resources
    from contentdb.cluster.upkeep.names import ObjectName

__all__ = ["adopt"]

_MANIFEST_BYTES: Final = 64 << 20
_AT_ONCE: Final = 1000


def adopt(resources: Resources, namespace: str, *, dry_run: bool) -> Adopted:
    """Give each blob that no row names a row in the namespace, and accept this database's life.

    The bucket is marked as this database's first: one that had it before, and is still in use,
    removes nothing any more. Nothing happens in a database that was not restored and has the
    bucket: what no row names there was never committed, or deleted, and a prune may be about to
    remove it. Objects of a process that lives are left to it.
    """
    if owns_bucket(resources) and not was_restored(resources):
        return Adopted(0, 0)
    if not dry_run:
        _take_over(resources)
    ended = trash.fence_dead(resources.database, dry_run=True)
    known = trash.sessions(resources.database)
    adopted = damaged = 0
    page: list[tuple[ObjectName, Listed]] = []
    for one in resources.bucket.list(BLOBS):
        name = parse_key(one.key)
        if name is not None and (name.session in ended or name.session not in known):
            page.append((name, one))
        if len(page) == _AT_ONCE:
            counts = _adopt(resources, namespace, page, dry_run=dry_run)
            adopted, damaged, page = adopted + counts[0], damaged + counts[1], []
    counts = _adopt(resources, namespace, page, dry_run=dry_run)
    if not dry_run:
        trash.set_epoch(resources.database)
        resources.refresh_meta()
    return Adopted(adopted + counts[0], damaged + counts[1])


def _take_over(resources: Resources) -> None:
    """Mark the bucket as that of this life of the database."""
    if not owns_bucket(resources):
        warn("cluster.adopt", "this database takes the bucket over; no other removes objects now",
             bucket=resources.bucket.url, place=resources.database.place)  # fmt: skip
        write_mark(resources.bucket, resources.meta.uuid, read_epoch(resources.database))


def _adopt(
    resources: Resources,
    namespace: str,
    page: list[tuple[ObjectName, Listed]],
    *,
    dry_run: bool,
) -> Adopted:
    adopted = damaged = 0
    named = trash.find_named(resources.database, [name for name, _ in page])
    for name, listed in page:
        if listed.key in named:
            continue
        candidate = _read(resources, name, listed)
        if candidate is None:
            damaged += 1
            warn("cluster.adopt", "an object is not what its key says", key=listed.key)
            continue
        adopted += dry_run or _give_row(resources, namespace, candidate)
    return Adopted(adopted, damaged)


def _give_row(resources: Resources, namespace: str, found: Candidate) -> bool:
    """Make a found object a blob; return whether it is one.

    It is none if another reindex was first, and the blob was deleted since.
    """
    session = resources.session.id
    try:
        if not _name_good_one(resources, namespace, session, found):
            record_found(resources.database, namespace, session, found)
    except FencedError:
        if resources.session.renew(session):
            return _give_row(resources, namespace, found)
        return False
    return True


def _name_good_one(resources: Resources, namespace: str, session: int, found: Candidate) -> bool:
    """Use a good copy that a row names instead, if there is one; the found one becomes trash.

    Two manifests may have objects in common: a commit that was cut off, and the one after it. Those
    of the copy that stays are not thrown away.
    """
    own, place = examine(resources, found.digest), found.place
    if own is None or own.damaged or own.place.key == place.key:  # another reindex may be first
        return False
    good = found._replace(place=own.place)
    spare = uncovered(place.runs, own.place.runs)
    with suppress(FencedError):  # a delete came first: then the found one is recorded
        record_found(resources.database, namespace, session, good, needless=place.key, spare=spare)
        return True
    return False


def _read(resources: Resources, name: ObjectName, listed: Listed) -> Candidate | None:
    """Read and hash a blob; return None if it is damaged."""
    assert name.digest is not None  # noqa: S101 - it is a blob's key
    place, size = Place(listed.key), listed.size
    hasher = Hasher(name.digest.algorithm)
    try:
        if name.is_manifest:
            packed = resources.bucket.get(listed.key, 0, min(size, _MANIFEST_BYTES))
            runs = unpack_runs(json.loads(packed or b"[]"))
            place, size = Place(listed.key, runs), size_of(runs)
        for piece in fetch(resources, place, 0, size):
            hasher.update(piece)
    except (MissingError, ValueError, TypeError):
        return None
    if hasher.digest != name.digest:
        return None
    return Candidate(name.digest, size, hasher.checksum, place, NO_LABELS)
