"""Packed blobs by their rows: find one, read it, put a damaged one away, mark a deleted one."""

from __future__ import annotations

import os

from contentdb import files
from contentdb.digest import MISMATCH
from contentdb.errors import ContentDBError, CorruptBlobError
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.index import State
from contentdb.local.layout import quarantine_name
from contentdb.logs import swallow, warn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Final

    from contentdb.content import Info
    from contentdb.digest import Digest
    from contentdb.local.index import Blob, Location
    from contentdb.local.resources import Parts

__all__ = [
    "PACK_GONE",
    "find_packed",
    "has_record",
    "leave_records",
    "lose_record",
    "mark_deleted",
    "mark_unneeded",
    "read_record",
    "return_to_records",
    "why_record_damaged",
]

PACK_GONE: Final = "its pack is gone"
_SHORT: Final = "its pack is too short"
_LEFT: Final = "what is left of a damaged record could not be kept in quarantine"
_TRIES: Final = 100


def find_packed(parts: Parts, digest: Digest, row: Blob | None) -> Info | None:
    """Return the Info of a blob if its row is live and packed, and its pack is there; else None."""
    packs = parts.packs
    if packs is None or row is None or row.state != State.LIVE or row.location is None:
        return None
    if not packs.has(row.location, digest, row.size):
        return None
    return parts.index.info(digest, row)


def read_record(
    parts: Parts,
    digest: Digest,
    row: Blob,
    look_again: Callable[[Digest], Blob | None] | None = None,
) -> bytes | None:
    """Return the bytes of a packed blob, verified; None if it is not packed any more.

    Args:
        parts: The store.
        digest: The blob.
        row: Its row, of this namespace or another.
        look_again: Returns that row as it is now; by default, that of this namespace.

    Raises:
        CorruptBlobError: The record is damaged or gone.
    """
    packs = parts.packs
    for _ in range(_TRIES):
        location = row.location
        if packs is None or location is None:
            return None
        data = packs.read(location, digest, row.size)
        if data is not None and len(data) == row.size and digest.matches(data):
            return data
        now = (look_again or parts.index.blob)(digest)  # a repack may have moved it
        if now is None or now.state != State.LIVE:
            return None
        if now.location != location:
            row = now
            continue
        reason = PACK_GONE if data is None else _SHORT if len(data) < row.size else MISMATCH
        raise packs.corrupt(digest, location, reason)
    return None


def why_record_damaged(
    parts: Parts,
    digest: Digest,
    row: Blob,
    look_again: Callable[[Digest], Blob | None] | None = None,
) -> str | None:
    """Return what is wrong with the record of a packed blob, or None."""
    try:
        read_record(parts, digest, row, look_again)
    except CorruptBlobError as error:
        return error.reason
    return None


def has_record(parts: Parts, digest: Digest, location: Location | None) -> bool:
    """Return whether a record of the blob is where its row says, its content not read."""
    fd = None if parts.packs is None or location is None else parts.packs.open(location.pack)
    if fd is None or location is None:
        return False
    from contentdb.local.packs.scan import has_head  # few stores have packs

    return has_head(fd, location.offset, digest)


def lose_record(parts: Parts, digest: Digest, location: Location) -> bool:
    """Mark a packed blob whose record is damaged, and keep what is left of it in quarantine.

    Durable. A blob that has a whole file too is loose from then on. Return False if the record is
    whole, or the row points elsewhere by now.
    """
    packs, row = parts.packs, parts.index.blob(digest)
    if packs is None or row is None or row.location != location:
        return False
    if why_record_damaged(parts, digest, row) is None:
        return False
    is_whole = parts.shards.holds(digest, row.size, row.checksum)
    lost = parts.index.lose_record(
        digest, location, has_file=lambda: is_whole and parts.shards.size(digest) == row.size
    )
    if lost:
        warn("local.packs", "a packed blob was found damaged", digest=digest)
        with swallow("local.packs", _LEFT, ContentDBError, digest=digest):
            _keep(parts, digest, row, location)
    return lost


def _keep(parts: Parts, digest: Digest, row: Blob, location: Location) -> None:
    packs = parts.packs
    data = None if packs is None else packs.read(location, digest, row.size)
    if not data:
        return
    fd = files.open_file(parts.quarantine, quarantine_name(digest), os.O_CREAT | os.O_WRONLY)
    try:
        files.write_all(fd, data, digest)
    finally:
        files.let_go(fd)


def mark_deleted(parts: Parts, records: Mapping[Digest, Location]) -> None:
    """Mark the records of deleted blobs, unless a row points there; durable, if the store is."""
    from contentdb.local.packs.record import state_of_deleted  # as in `has_record`

    marks: dict[tuple[int, bytes], list[int]] = {}
    for digest, location in records.items():
        is_in_place, is_elsewhere = parts.index.who_needs(digest, location)
        if not is_in_place:
            state = state_of_deleted(is_elsewhere=is_elsewhere)
            marks.setdefault((location.pack, state), []).append(location.offset)
    _mark(parts, marks, sync=parts.durable)


def mark_unneeded(parts: Parts, records: Mapping[Digest, Location]) -> None:
    """Mark records to which no row points, whether or not their blobs are elsewhere.

    Durable in any store.
    """
    from contentdb.local.packs.record import DEAD  # as in `has_record`

    is_in_place = parts.index.is_in_place
    marks: dict[tuple[int, bytes], list[int]] = {}
    for digest, location in records.items():
        if not is_in_place(digest, location):
            marks.setdefault((location.pack, DEAD), []).append(location.offset)
    _mark(parts, marks, sync=True)


def leave_records(parts: Parts, records: Mapping[Digest, Location]) -> None:
    """Mark the records that blobs are about to leave, whose new places are on disk already.

    Durable in any store. It comes before the rows change: afterwards nothing leads to the records,
    and an act that is cut off between the two has copies that `replay` finds, or files.
    """
    from contentdb.local.packs.record import DEAD  # as in `has_record`

    _mark_in_place(parts, records, DEAD)


def return_to_records(parts: Parts, records: Mapping[Digest, Location]) -> None:
    """Undo `leave_records` where the rows have not changed."""
    from contentdb.local.packs.record import LIVE  # as in `has_record`

    _mark_in_place(parts, records, LIVE)


def _mark_in_place(parts: Parts, records: Mapping[Digest, Location], state: bytes) -> None:
    """Mark records as long as rows point there: no delete has marked them, nor does meanwhile."""
    packs = parts.packs
    if packs is None or not records:
        return
    by_pack: dict[int, list[int]] = {}

    def mark(in_place: list[Location]) -> None:
        for pack, offset in in_place:
            by_pack.setdefault(pack, []).append(offset)
        for pack, offsets in by_pack.items():
            packs.mark(pack, offsets, state, sync=False)

    parts.index.act_in_place(records, mark)
    for pack in by_pack:
        packs.sync(pack)


def _mark(parts: Parts, marks: Mapping[tuple[int, bytes], list[int]], *, sync: bool) -> None:
    for (pack, state), offsets in marks.items():
        if parts.packs is not None:
            parts.packs.mark(pack, offsets, state, sync=sync)
