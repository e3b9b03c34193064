"""Compares the rows with the objects, and changes nothing: each difference is a finding.

Objects are listed in ranges of digests, and the rows of a range are read after its objects. So what
seems to be missing may have come meanwhile, and is looked up once more; what seems to be too much
may belong to a commit that is under way, and only that of dead processes is told.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from contentdb.cluster.catalog import audit, blobs, trash
from contentdb.cluster.extents import Place
from contentdb.cluster.fetch import MissingError, fetch, fetch_pieces
from contentdb.cluster.mark import KEY as MARK
from contentdb.cluster.mark import check_mark, check_there
from contentdb.cluster.upkeep.names import BLOBS, PARTS, parse_key
from contentdb.cluster.upkeep.prune import was_restored
from contentdb.digest import ALGORITHMS, MISMATCH, Hasher
from contentdb.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Future

    from contentdb.cluster.catalog.audit import Row
    from contentdb.cluster.resources import Resources

__all__ = ["verify"]

_FEW: Final = 100_000
"""Rows of an algorithm whose objects are listed at once; more are listed in 256 ranges."""
_PAGE: Final = 1000
_RANGES_AHEAD: Final = 8
_BLOBS_AHEAD: Final = 8
"""Blobs of one object that are read side by side: 8 MiB of memory each."""


class _Fault(NamedTuple):
    """What is wrong with the bytes of a blob."""

    kind: Literal["missing", "corrupt"]
    path: str
    reason: str


class _Range(NamedTuple):
    """Objects with one prefix, and the range of digests whose rows name them."""

    prefix: str
    first: str
    behind: str


def verify(resources: Resources, *, quick: bool) -> Iterator[Finding]:
    """Yield the findings in all rows and objects of a store, in all its namespaces.

    With ``quick`` sizes are compared, and nothing is read but what was marked as damaged.
    """
    check_mark(resources.bucket, resources.meta.uuid)
    ended = trash.fence_dead(resources.database, dry_run=True)
    for range_, found in _listed(resources, _ranges(resources)):
        for page in audit.pages(
            resources.database, range_.first, range_.behind, with_bytes=not quick
        ):
            yield from _verify_page(resources, page, found, quick=quick)
        yield from _find_orphans(resources, found, ended)
        found.clear()
    parts = (one.key for one in resources.bucket.list(PARTS))
    yield from _find_orphans(resources, parts, ended)
    for name in resources.bucket.top():
        if name not in {MARK, BLOBS, PARTS}:
            yield Finding("orphan", None, name, "it has no place in a store")


def _ranges(resources: Resources) -> Iterator[_Range]:
    for algorithm in ALGORITHMS:
        prefix, first = f"{BLOBS}{algorithm}/", f"{algorithm}:"
        if audit.count_up_to(resources.database, first, f"{first}~", _FEW) < _FEW:
            yield _Range(prefix, first, f"{first}~")
            continue
        for number in range(256):
            name = f"{number:02x}"
            yield _Range(f"{prefix}{name}/", f"{first}{name}", f"{first}{name}~")


def _listed(
    resources: Resources, ranges: Iterable[_Range]
) -> Iterator[tuple[_Range, dict[str, int]]]:
    """Yield ranges with the sizes of their objects by key, of which some are listed ahead."""
    left = iter(ranges)
    ahead: deque[tuple[_Range, Future[dict[str, int]]]] = deque()
    while True:
        for one in islice(left, _RANGES_AHEAD - len(ahead)):
            ahead.append((one, resources.start(lambda one=one: resources.bucket.sizes(one.prefix))))  # type: ignore[misc]
        if not ahead:
            return
        range_, future = ahead.popleft()
        yield range_, future.result()


# -- rows ------------------------------------------------------------------------------------------


def _verify_page(
    resources: Resources, page: list[Row], found: dict[str, int], *, quick: bool
) -> Iterator[Finding]:
    """Yield what is wrong with rows, whose keys are taken out of what was found."""
    waiting: deque[tuple[Row, Future[_Fault | None]]] = deque()
    for row in page:
        size = found.pop(row.place.key or "", None)
        fault = _why_incomplete(resources, row, size)
        if fault is None and (row.damaged or not quick):
            if not row.place.runs:  # one request, or none: side by side
                future = resources.start(lambda row=row: _why_unlike(resources, row))  # type: ignore[misc]
                waiting.append((row, future))
                if len(waiting) < _BLOBS_AHEAD:
                    continue
                row, future = waiting.popleft()  # noqa: PLW2901 - an earlier one
                fault = future.result()
            else:
                fault = _why_unlike(resources, row)
            yield from _judged(resources, row, fault)
        elif fault is not None:
            yield from _judged(resources, row, fault)
    while waiting:
        row, future = waiting.popleft()
        yield from _judged(resources, row, future.result())


def _judged(resources: Resources, row: Row, fault: _Fault | None) -> Iterator[Finding]:
    """Yield a finding of a row whose bytes were read or missed, unless it has changed since."""
    if fault is None and not row.damaged:
        return
    now = blobs.find_object(resources.database, row.digest)
    if now is None or now.place.key != row.place.key or now.damaged != row.damaged:
        return
    if fault is not None:
        yield Finding(fault.kind, row.digest, fault.path, fault.reason)
    else:
        detail = "it is whole, and its row says that it is damaged"
        yield Finding("orphan", row.digest, row.place.about, detail)


def _why_incomplete(resources: Resources, row: Row, size: int | None) -> _Fault | None:
    """Return which object of a blob is gone or of another size, by lists alone."""
    key, runs = row.place.key, row.place.runs
    if key is None:
        if row.inline_size == row.size:
            return None
        reason = f"its row has {row.inline_size} bytes, not {row.size}"
        return _Fault("corrupt", resources.database.place, reason)
    if not runs:
        return _compare(resources, key, row.size, size)
    if size is None and resources.bucket.size(key) is None:
        check_there(resources.bucket, resources.meta.uuid, key)
        return _Fault("missing", key, "its manifest is gone, by which reindex would find it")
    there: dict[str, int] = {}
    for prefix in {run.prefix for run in runs}:
        there |= resources.bucket.sizes(prefix)
    for run in runs:
        for part, wanted in zip(run.objects(), run.sizes(), strict=True):
            fault = _compare(resources, part, wanted, there.get(part))
            if fault is not None:
                return fault
    return None


def _compare(resources: Resources, key: str, wanted: int, size: int | None) -> _Fault | None:
    if size == wanted:
        return None
    now = resources.bucket.size(key)  # it may have come since it was listed
    if now == wanted:
        return None
    if now is None:
        check_there(resources.bucket, resources.meta.uuid, key)
        return _Fault("missing", key, "a row names it, and it is gone")
    return _Fault("corrupt", key, f"it has {now} bytes, not {wanted}")


def _why_unlike(resources: Resources, row: Row) -> _Fault | None:
    """Read a blob; return what is wrong with its bytes."""
    place = row.place
    if place.inline is not None and row.inline is not None:
        place = Place(inline=row.inline)
    path = resources.database.place if place.inline is not None else place.about
    hasher = Hasher(row.digest.algorithm)
    try:
        if place.inline is None and not place.runs:  # in this thread: it may be one of a pool
            pieces = _alone(resources, place, row.size)
        else:
            pieces = fetch(resources, place, 0, row.size)
        for piece in pieces:
            hasher.update(piece)
    except MissingError as error:
        return _Fault("missing", path, f"object {error} is gone or cut off")
    return None if hasher.digest == row.digest else _Fault("corrupt", path, MISMATCH)


def _alone(resources: Resources, place: Place, size: int) -> Iterator[bytes]:
    for piece in place.pieces(0, size):
        yield from fetch_pieces(resources, [piece])


# -- objects ---------------------------------------------------------------------------------------


def _find_orphans(resources: Resources, keys: Iterable[str], ended: set[int]) -> Iterator[Finding]:
    """Yield the objects that no row names, of sessions that had ended before they were listed."""
    left = iter(keys)
    while page := list(islice(left, _PAGE)):
        names = {}
        for key in page:
            name = parse_key(key)
            if name is None:
                yield Finding("orphan", None, key, "its name is not that of an object of a store")
            else:
                names[key] = name
        known = trash.sessions(resources.database) | ended
        dead = [one for one in names.values() if one.session in ended or one.session not in known]
        named = trash.find_named(resources.database, dead)
        for one in dead:
            if one.key not in named and resources.bucket.size(one.key) is not None:
                detail = _why_orphan(resources, is_known=one.session in known)
                yield Finding("orphan", one.digest, one.key, detail)


def _why_orphan(resources: Resources, *, is_known: bool) -> str:
    if was_restored(resources):
        return "no row names it, and the database was restored: `contentdb reindex` adopts it"
    if is_known:
        return "no row names it; `contentdb prune` removes it"
    return "no row names it, and its writer is not known, so that nothing removes it"
