"""Removes what was abandoned: ingests, the objects of deleted blobs, objects that no row names.

An object that no row names may belong to a commit that is under way. So it is judged only after the
session that wrote it is fenced, and one of a session that the database has never heard of is left:
the database may have been restored.
"""

from __future__ import annotations

import time
from itertools import islice
from typing import TYPE_CHECKING, Final

from contentdb.cluster.catalog import ingests, trash
from contentdb.cluster.catalog.lease_items import is_leased
from contentdb.cluster.catalog.meta import read_epoch, read_meta
from contentdb.cluster.mark import check_mark
from contentdb.cluster.upkeep.names import BLOBS, PARTS, parse_key
from contentdb.engine import Pruned
from contentdb.errors import RefLockedError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentdb.cluster.objects import Listed
    from contentdb.cluster.resources import Resources
    from contentdb.cluster.upkeep.names import ObjectName

__all__ = ["check_epoch", "owns_bucket", "prune", "prune_ingests", "was_restored"]

_PAGE: Final = 1000
_SESSION_AGE_S: Final = 86_400.0
"""A request that was cut off may bring its object after so long at most."""


def prune(
    resources: Resources, namespace: str, *, older_than_s: float, dry_run: bool
) -> Iterator[Pruned]:
    """Remove each thing, then yield it; see `contentdb.Store.prune`.

    Raises:
        StoreError: The database is not the one that wrote the objects, or is it no more.
    """
    check_epoch(resources)
    age_s = min(float(older_than_s), time.time())
    yield from prune_ingests(resources, namespace, age_s, dry_run=dry_run)
    yield from _empty_trash(resources, age_s, dry_run=dry_run)
    ended = trash.fence_dead(resources.database, dry_run=dry_run)
    seen: set[int] = set()
    for prefix in (BLOBS, PARTS):
        yield from _prune_orphans(resources, prefix, ended, seen, age_s, dry_run=dry_run)
    if not dry_run:
        trash.forget_gone(resources.database, ended, _session_of)
        trash.forget_sessions(resources.database, ended - seen, max(age_s, _SESSION_AGE_S))


def check_epoch(resources: Resources) -> None:
    """Raise unless this database has known all objects since the store was made or reindexed.

    One that was restored or failed over does not know its newest blobs, so their objects look like
    abandoned ones; so do those of a copy of the database, which has the same bucket.
    """
    if was_restored(resources):
        raise StoreError(
            resources.database.place,
            "this database was restored, copied or failed over, and may not know the newest "
            "objects; contentdb reindex adopts them and takes the bucket over from the database "
            "that had it, until then nothing is removed",
        )
    if not owns_bucket(resources):
        raise StoreError(
            resources.database.place,
            f"another database, a copy of this one, has taken {resources.bucket.url} over by its "
            "reindex, and this one may not know the newest objects: nothing is removed; end the "
            "use of one of the two; contentdb reindex here takes the bucket back",
        )


def was_restored(resources: Resources) -> bool:
    """Return whether the database is in another life than the one that the store noted."""
    return read_epoch(resources.database) != read_meta(resources.database).epoch


def owns_bucket(resources: Resources) -> bool:
    """Return whether the bucket is marked as that of this life of the database.

    Raises:
        NotAStoreError: It is that of another store, or of none.
    """
    mark = check_mark(resources.bucket, resources.meta.uuid)
    return mark.epoch == str(read_epoch(resources.database))


def prune_ingests(
    resources: Resources, namespace: str, age_s: float, *, dry_run: bool
) -> Iterator[Pruned]:
    """Drop each ingest that no writer and no lease holds, if it is so old, then yield it."""
    database, session = resources.database, resources.session
    for page in ingests.listed(database, namespace):
        for row in page:
            if row.is_held(session) or row.now_ns - row.updated_ns < age_s * 1e9:
                continue
            if is_leased(database, namespace, "ingest", row.ref):
                continue
            place = row.runs[0].prefix if row.runs else database.place
            try:
                if dry_run or ingests.drop(database, session, namespace, row.ref):
                    yield Pruned("ingest", row.ref, place, row.offset)
            except RefLockedError:
                continue


def _empty_trash(resources: Resources, age_s: float, *, dry_run: bool) -> Iterator[Pruned]:
    after = ""
    while page := trash.due(resources.database, after, age_s):
        after = page[-1].key
        if not dry_run:
            _delete(resources, [key for one in page for key in one.keys])
            trash.mark_gone(resources.database, page)
        for one in page:
            yield Pruned("trash", one.key, f"{resources.bucket.url}/{one.key}", 0)


def _prune_orphans(
    resources: Resources,
    prefix: str,
    ended: set[int],
    seen: set[int],
    age_s: float,
    *,
    dry_run: bool,
) -> Iterator[Pruned]:
    """Remove the objects of sessions that ended, unless a row names them.

    ``seen`` gets the sessions that have objects.
    """
    before = time.time() - age_s
    for page in _pages(resources.bucket.list(prefix)):
        mine: dict[str, tuple[ObjectName, int]] = {}
        for one in page:
            name = parse_key(one.key)
            if name is None:
                continue
            seen.add(name.session)
            if name.session in ended and one.changed_s <= before:
                mine[one.key] = name, one.size
        kept = trash.find_named(resources.database, [name for name, _ in mine.values()])
        gone = [key for key in mine if key not in kept]
        if gone and not dry_run:
            _delete(resources, gone)
        for key in gone:
            name, size = mine[key]
            yield Pruned("orphan", name.digest or key, f"{resources.bucket.url}/{key}", size)


def _delete(resources: Resources, keys: list[str]) -> None:
    """Delete objects; look again before each page: a copy may have taken the bucket meanwhile."""
    for at in range(0, len(keys), _PAGE):
        check_epoch(resources)
        resources.bucket.delete(keys[at : at + _PAGE])


def _pages(found: Iterator[Listed]) -> Iterator[list[Listed]]:
    while page := list(islice(found, _PAGE)):
        yield page


def _session_of(key: str) -> int | None:
    name = parse_key(key)
    return None if name is None else name.session
