"""Comparing files and index, changing nothing: every difference is a finding, never an error."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from contentdb import files
from contentdb.damage import damage_of, why_damaged
from contentdb.digest import ALGORITHMS, Digest
from contentdb.errors import ContentDBError, InvalidDigestError
from contentdb.index import State
from contentdb.layout import INDEX, SHARDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentdb.files import Directory
    from contentdb.parts import Parts
    from contentdb.shards import Shards

    Rows = dict[str, tuple[int, int, int]]
    """Size, checksum and state by digest."""

__all__ = ["Finding", "rows_of_shard", "shards_with_rows", "verify"]

_BLOB_MODE: Final = 0o444


class Finding(NamedTuple):
    """One difference."""

    kind: Literal["orphan", "missing", "corrupt", "mode", "index"]
    """``orphan``: a file without a row, or a whole one whose row says that it was damaged;
    ``missing``: a row without its file; ``corrupt``: bytes that do not match; ``mode``: a blob
    that can be written to or not be read; ``index``: the database contradicts itself, and is
    made anew by `contentdb.reindex`."""
    digest: Digest | None
    """None for what has no place in the layout at all."""
    path: str
    detail: str


def verify(parts: Parts, *, quick: bool) -> Iterator[Finding]:
    """Go through the index and all shards; see `Store.verify`."""
    for problem in parts.index.check():
        detail = f"{problem}; `contentdb reindex` rebuilds it from the blobs"
        yield Finding("index", None, str(parts.root / INDEX), detail)
    for path in parts.shards.strays():
        yield Finding("orphan", None, path, "it has no place in a store")
    listing = parts.shards.listing()
    seen = set()
    for algorithm, shard, children in listing:
        name = shard.path[-2:]
        seen.add((algorithm, name))
        rows = rows_of_shard(parts, algorithm, name)
        yield from _shard(parts, algorithm, shard, children, rows, quick=quick)
    for algorithm, name in shards_with_rows(parts):
        if (algorithm, name) not in seen:
            yield from _missing(parts, rows_of_shard(parts, algorithm, name))


def shards_with_rows(parts: Parts) -> Iterator[tuple[str, str]]:
    """The shards that rows may point to: all those of each algorithm that has a row."""
    for algorithm in ALGORITHMS:
        if parts.index.shortened(f"{algorithm}:"):
            yield from ((algorithm, name) for name in SHARDS)


def rows_of_shard(parts: Parts, algorithm: str, shard: str) -> Rows:
    """The rows whose files belong into a shard, without those that are being deleted."""
    first = f"{algorithm}:{shard}"
    rows = parts.index.rows_between(first, first + "g")  # past every hexadecimal digit
    return {
        digest: (size, checksum, state)
        for digest, size, checksum, state in rows
        if state != State.TOMBSTONE
    }


def _shard(
    parts: Parts,
    algorithm: str,
    shard: Directory,
    children: list[tuple[str, os.stat_result]],
    rows: Rows,
    *,
    quick: bool,
) -> Iterator[Finding]:
    for name, found in children:
        path = shard.child(name)
        try:
            digest = Digest(f"{algorithm}:{name}")
        except InvalidDigestError:
            yield Finding("orphan", None, path, "its name is not that of a blob")
            continue
        row = rows.pop(digest, None)
        if row is None:
            yield from _without_row(parts, digest, path)
        elif not files.is_private_file(found, shard):
            yield Finding("corrupt", digest, path, "it is not a regular file of the store's owner")
        else:
            yield from _with_row(parts, digest, path, found, row, quick=quick)
    yield from _missing(parts, rows)


def _without_row(parts: Parts, digest: Digest, path: str) -> Iterator[Finding]:
    """A file whose row is on its way, or just went, is no finding."""
    if not parts.index.claims(digest) and parts.shards.size(digest) is not None:
        yield Finding("orphan", digest, path, "the index has no row of it")


def _missing(parts: Parts, rows: Rows) -> Iterator[Finding]:
    for text in rows:
        digest = Digest(text)
        row = parts.index.blob(digest)  # it may have been deleted since
        if row is None or row.state == State.TOMBSTONE or parts.shards.size(digest) is not None:
            continue
        yield Finding("missing", digest, parts.shards.path(digest), "the index has a row of it")


def _with_row(
    parts: Parts,
    digest: Digest,
    path: str,
    found: os.stat_result,
    row: tuple[int, int, int],
    *,
    quick: bool,
) -> Iterator[Finding]:
    size, checksum, state = row
    mode = Finding("mode", digest, path, f"its mode is {found.st_mode & 0o777:o}, not 444")
    if not found.st_mode & stat.S_IRUSR:
        yield mode  # once that is mended, its bytes can be looked at
        return
    if found.st_size != size:
        reason: str | None = f"it has {found.st_size} bytes, not {size}"
    elif quick:
        reason = _why_unlike(parts.shards, digest, size, checksum)
    else:
        reason = why_damaged(parts.shards, digest)
    if reason is not None:
        if _is_still_so(parts, digest, found):
            yield Finding("corrupt", digest, path, reason)
    elif found.st_mode & 0o777 != _BLOB_MODE:
        yield mode
    elif state == State.DAMAGED and parts.index.claims(digest):
        yield Finding("orphan", digest, path, "it is whole, and its row says that it is damaged")


def _why_unlike(shards: Shards, digest: Digest, size: int, checksum: int) -> str | None:
    """Read a blob's file against its checksum: what is wrong, or None."""
    try:
        intact = shards.holds(digest, size, checksum)
    except ContentDBError as error:
        return damage_of(error)
    return None if intact else "its bytes do not match its checksum"


def _is_still_so(parts: Parts, digest: Digest, found: os.stat_result) -> bool:
    """Whether the file that was read is the blob's still: it may be healed or deleted by now."""
    now = parts.shards.stat(digest)
    return now is not None and os.path.samestat(now, found) and parts.index.claims(digest)
