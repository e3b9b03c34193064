"""Compare files and index, and change nothing: every difference is a finding, never an error."""

from __future__ import annotations

import os
import stat

from contentdb import files
from contentdb.digest import ALGORITHMS, Digest, checksum_of
from contentdb.errors import ContentDBError, InvalidDigestError
from contentdb.findings import Finding
from contentdb.light_typing import TYPE_CHECKING, NamedTuple
from contentdb.local import layout
from contentdb.local.damage import damage_of, why_damaged
from contentdb.local.index import Location, State
from contentdb.local.layout import INDEX
from contentdb.local.packed import PACK_GONE, why_record_damaged
from contentdb.local.upkeep.doubts import Doubts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final, Literal

    from contentdb.files import Directory
    from contentdb.local.blobs import Shards
    from contentdb.local.resources import Parts

    Rows = dict[str, "Row"]
    """By digest."""

__all__ = ["Row", "rows_of_shard", "shards_with_rows", "verify"]

_BLOB_MODE: Final = 0o444
_READINGS: Final = 3
"""Tries to read a file that changes meanwhile."""


class Row(NamedTuple):
    """What a row says of its file or record."""

    size: int
    checksum: int
    state: int
    location: Location | None
    """None for a loose blob."""


def verify(parts: Parts, *, quick: bool) -> Iterator[Finding | None]:
    """Yield the findings in the index and all shards; see `Store.verify`.

    None asks the caller to pause before the next step.
    """
    for problem in parts.index.check():
        detail = f"{problem}; `contentdb reindex` rebuilds it from the blobs"
        yield Finding("index", None, f"{parts.root}/{INDEX}", detail)
    for path in parts.shards.strays():
        yield Finding("orphan", None, path, "it has no place in a store")
    listing = parts.shards.listing()
    doubts = Doubts(parts)
    seen = set()
    for algorithm, shard, children in listing:
        name = shard.path[-2:]
        seen.add((algorithm, name))
        rows = rows_of_shard(parts, algorithm, name)
        yield from _verify_shard(parts, algorithm, shard, children, rows, doubts, quick=quick)
        if doubts.are_many:
            yield from _settle(parts, doubts)
    for algorithm, name in shards_with_rows(parts):
        if (algorithm, name) not in seen:
            rows = rows_of_shard(parts, algorithm, name)
            yield from _verify_packed(parts, rows, quick=quick)
            yield from _find_missing(parts, rows)
    yield from _settle(parts, doubts)


def _settle(parts: Parts, doubts: Doubts) -> Iterator[Finding | None]:
    for digest in doubts.settle():
        yield None if digest is None else _make_orphan(parts, digest)


def _make_orphan(parts: Parts, digest: Digest) -> Finding:
    has_row = parts.index.blob(digest) is not None
    detail = "it is whole, and its row says that it is damaged"
    if not has_row:
        detail = "the index has no row of it"
    return Finding("orphan", digest, parts.shards.path(digest), detail)


def shards_with_rows(parts: Parts) -> Iterator[tuple[str, str]]:
    """Yield the shards that rows may point to: all those of each algorithm that has a row."""
    for algorithm in ALGORITHMS:
        if parts.index.find_by_prefix(f"{algorithm}:"):
            yield from ((algorithm, name) for name in layout.SHARDS)


def rows_of_shard(parts: Parts, algorithm: str, shard: str) -> Rows:
    """Return the rows whose files belong in a shard, without those that are being deleted."""
    first = f"{algorithm}:{shard}"
    rows = parts.index.rows_between(first, first + "g")  # past every hexadecimal digit
    return {
        digest: Row(size, checksum, state, None if pack is None else Location(pack, offset or 0))
        for digest, size, checksum, state, pack, offset in rows
        if state != State.TOMBSTONE
    }


def _verify_shard(
    parts: Parts,
    algorithm: str,
    shard: Directory,
    children: list[tuple[str, os.stat_result]],
    rows: Rows,
    doubts: Doubts,
    *,
    quick: bool,
) -> Iterator[Finding]:
    yield from _verify_packed(parts, rows, quick=quick)
    for name, found in children:
        path = shard.child(name)
        try:
            digest = Digest(f"{algorithm}:{name}")
        except InvalidDigestError:
            yield Finding("orphan", None, path, "its name is not that of a blob")
            continue
        row = rows.pop(digest, None)
        if row is None:
            if doubts.is_orphan(digest):  # else its row is about to come, or just went
                yield _make_orphan(parts, digest)
        elif not files.is_private_file(found, shard):
            yield Finding("corrupt", digest, path, "it is not a regular file of the store's owner")
        else:
            yield from _verify_with_row(parts, digest, found, row, doubts, quick=quick)
    yield from _find_missing(parts, rows)


def _verify_packed(parts: Parts, rows: Rows, *, quick: bool) -> Iterator[Finding]:
    for text, row in rows.items():
        if row.location is None:
            continue
        digest = Digest(text)
        reason = _why_record_damaged(parts, digest, row, quick=quick)
        if reason is None or parts.packs is None:
            continue
        now = parts.index.blob(digest)
        if now is None or now.state != State.LIVE or now.location != row.location:
            continue  # it was deleted or moved meanwhile
        kind: Literal["corrupt", "missing"] = "missing" if reason == PACK_GONE else "corrupt"
        yield Finding(kind, digest, parts.packs.place(row.location), reason)


def _why_record_damaged(parts: Parts, digest: Digest, row: Row, *, quick: bool) -> str | None:
    if quick and parts.packs is not None and row.location is not None:
        data = parts.packs.read(row.location, digest, row.size)
        if data is not None and len(data) == row.size and checksum_of(data) == row.checksum:
            return None
    now = parts.index.blob(digest)
    return None if now is None else why_record_damaged(parts, digest, now)


def _find_missing(parts: Parts, rows: Rows) -> Iterator[Finding]:
    for text, packed in rows.items():
        if packed.location is not None:
            continue
        digest = Digest(text)
        row = parts.index.blob(digest)  # it may have been deleted since
        if row is None or row.state == State.TOMBSTONE or not parts.shards.is_gone(digest):
            continue
        if parts.index.blob(digest) == row:  # else it was stored again meanwhile
            yield Finding("missing", digest, parts.shards.path(digest), "the index has a row of it")


def _verify_with_row(
    parts: Parts,
    digest: Digest,
    found: os.stat_result,
    row: Row,
    doubts: Doubts,
    *,
    quick: bool,
) -> Iterator[Finding]:
    size, checksum, state, _ = row
    path = parts.shards.path(digest)
    reason = None
    if found.st_mode & stat.S_IRUSR:  # else its bytes can be read after a repair
        reason = _why_damaged(parts, digest, found, size, checksum, quick=quick)
    if reason is not None:
        yield Finding("corrupt", digest, path, reason)
    elif found.st_mode & 0o777 != _BLOB_MODE:
        now = parts.shards.stat(digest)
        if now is not None and now.st_mode & 0o777 != _BLOB_MODE:
            mode = f"its mode is {now.st_mode & 0o777:o}, not 444"
            yield Finding("mode", digest, path, mode)
    elif state == State.DAMAGED and doubts.is_orphan(digest):
        yield _make_orphan(parts, digest)


def _why_damaged(
    parts: Parts, digest: Digest, found: os.stat_result, size: int, checksum: int, *, quick: bool
) -> str | None:
    """Return what is wrong with a blob's bytes; None if they are right, or the blob is gone."""
    for _ in range(_READINGS):
        if found.st_size != size:
            reason: str | None = f"it has {found.st_size} bytes, not {size}"
        elif quick:
            reason = _why_unlike(parts.shards, digest, size, checksum)
        else:
            reason = why_damaged(parts.shards, digest)
        now = None if reason is None else parts.shards.stat(digest)
        if now is None or not parts.index.claims(digest):
            return None
        if os.path.samestat(now, found) and now.st_ctime_ns == found.st_ctime_ns:
            return reason
        found = now  # it was healed, or got a label: what was read may have been another file
    return None


def _why_unlike(shards: Shards, digest: Digest, size: int, checksum: int) -> str | None:
    """Compare a blob's file with its checksum; return what is wrong, or None."""
    try:
        intact = shards.holds(digest, size, checksum)
    except ContentDBError as error:
        return damage_of(error)
    return None if intact else "its bytes do not match its checksum"
