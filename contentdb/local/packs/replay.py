"""Make the rows of records again that a power cut has taken with the end of the index's log."""

from __future__ import annotations

import os

from contentdb import files
from contentdb.labels import NO_LABELS, labelling
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.index import LeaseKey, Location
from contentdb.local.index.packed import Found, Move
from contentdb.local.packs.directory import FIRST
from contentdb.local.packs.record import DEAD, DELETED, LIVE, MOVED
from contentdb.local.packs.scan import heads, read_head, scan
from contentdb.logs import inform
from contentdb.refs import DEFAULT_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from typing import Final

    from contentdb.digest import Digest
    from contentdb.labels import Labelling
    from contentdb.local.index import Blob
    from contentdb.local.index.index import Index
    from contentdb.local.packs.directory import PackDirectory
    from contentdb.local.packs.record import Life
    from contentdb.local.packs.scan import Record

__all__ = ["has_unrecorded", "lives_deleted", "replay", "replay_all"]

_GROUP_ROWS: Final = 5000


class _Entry:
    """An `Entry` of `contentdb.local.index`, from a record."""

    only_if: frozenset[int | None] | None = None
    ref: str | None = None
    token: str | None = None
    lease: LeaseKey | None = None
    reserved: str | None = None

    def __init__(self, record: Record, pack: int, packs: PackDirectory) -> None:
        header = record.header
        self._packs = packs
        self.is_copy = header.state == MOVED
        self.digest: Digest = header.digest
        self.size = header.size
        self.checksum = header.checksum
        self.now_ns = header.created_ns
        self.location = Location(pack, record.offset)
        self.life = header.life
        facts = record.facts
        self.labelling: Labelling = NO_LABELS
        if facts:
            keeps = facts.get("keep", False)
            self.labelling = labelling(facts.get("labels"), keep_labels=keeps)

    def present(self) -> bool:
        return False

    def drop_labels(self) -> None:
        """Forget the record's labels: those of its row are younger."""
        self.labelling = NO_LABELS

    def has_content(self, blob: Blob) -> bool:
        """Return whether the row's pack is there: an older index may point to one that is gone."""
        if blob.location is None:  # it has a file, or `verify` will tell
            return True
        return self._packs.has(blob.location, self.digest, blob.size)

    def end_record(self, location: Location, *, is_elsewhere: bool) -> None:
        """Mark the record that an earlier blob of this content had, on disk."""
        self._packs.end_record(location, is_elsewhere=is_elsewhere)

    def stamp(self, moment_ns: int, *, instead_of_ns: int | None = None) -> None:
        """Do nothing: it has no file."""


def replay_all(packs: PackDirectory, index: Index, own: int | None = None) -> None:
    """Record what is not recorded yet in all packs that no process has, as this one has ``own``.

    Opening the store does this before the first answer: a power cut may have taken rows of
    blobs that were acknowledged. A pack that a living process has needs none: it has not returned.
    """
    with packs.choosing():
        for pack in packs.names():
            fd = None if pack == own else packs.take(pack)
            if fd is None:
                continue
            try:
                replay(packs, index, pack, fd)
            finally:
                files.let_go(fd)


def has_unrecorded(packs: PackDirectory, index: Index) -> bool:
    """Return whether a pack that no process has holds records that the index does not know."""
    return any(_has_unrecorded(packs, index, pack) for pack in packs.names())


def _has_unrecorded(packs: PackDirectory, index: Index, pack: int) -> bool:
    fd = packs.open(pack)
    if fd is None or packs.is_taken(pack):
        return False
    recorded = max(FIRST, index.recorded(pack))
    records = scan(fd, packs.path(pack), recorded)
    if not any(record.header.state == LIVE for record in records):
        return False
    # A process may have taken the pack, appended and ended during the scan.
    return not packs.is_taken(pack) and max(FIRST, index.recorded(pack)) == recorded


def lives_deleted(packs: PackDirectory) -> set[Life]:
    """Return the blobs whose deletes have marked a record, of which others may be left."""
    found: set[Life] = set()
    for pack in packs.names():
        fd = packs.open_with(pack, os.O_RDONLY)
        if fd is not None:
            records = heads(fd, packs.path(pack))
            found.update(header.life for header in records if header.state == DELETED)
    return found


def replay(
    packs: PackDirectory,
    index: Index,
    pack: int,
    fd: int,
    *,
    start: int | None = None,
    deleted: Collection[Life] = (),
) -> int:
    """Record what a pack holds behind its recorded offset; return where its next record goes.

    Records that are not needed, as their blobs are elsewhere or deleted, are marked. The caller has
    the pack's lock. Durable when it returns.

    Args:
        packs: The directory.
        index: The index.
        pack: The pack.
        fd: Its descriptor.
        start: Scan from here on, instead of the recorded offset: for a new index, in which rows
            that are there already keep their labels.
        deleted: Blobs of which no record counts; see `lives_deleted`.
    """
    anew = start is not None
    end = begin = max(FIRST, index.recorded(pack) if start is None else start)
    path = packs.path(pack)
    group = _Group(packs, index, pack, anew=anew)
    for record in scan(fd, path, end, rescue=anew):
        if end == begin:  # a process that was killed may not have synced it
            files.sync_data(fd, path)
        end = record.end
        if record.header.state in {LIVE, MOVED}:
            group.take(record, is_deleted=record.header.life in deleted)
        if len(group.found) >= _GROUP_ROWS:
            group.settle(end)
    if end > begin:
        group.settle(end)
    if group.rows:
        inform("local.packs", "rows were made again from a pack", path=path, rows=group.rows)
    return end


class _Group:
    """Records of one pack that are looked at together."""

    def __init__(self, packs: PackDirectory, index: Index, pack: int, *, anew: bool) -> None:
        self._packs = packs
        self._index = index
        self._pack = pack
        self._anew = anew
        self.rows = 0
        """How many were found, with those that are settled already."""
        self.found: list[Found] = []
        self._copies: list[_Entry] = []
        self._unneeded: list[Location] = []

    def take(self, record: Record, *, is_deleted: bool) -> None:
        """Add a record whose state says that it counts."""
        facts, entry = record.facts, _Entry(record, self._pack, self._packs)
        if is_deleted:
            self._unneeded.append(entry.location)
            return
        if entry.is_copy:
            self._copies.append(entry)
        namespace = facts.get("namespace", DEFAULT_NAMESPACE)
        lease = LeaseKey(*facts["lease"]) if "lease" in facts else None
        self.rows += 1
        self.found.append(Found(namespace, entry, facts.get("ref"), facts.get("token"), lease))

    def settle(self, end: int) -> None:
        """Record the group; go on with moves that were cut off; mark what is not needed."""
        index, pack = self._index, self._pack
        if not self._anew and (moves := list(self._moves())):
            index.move_records(moves, pack, FIRST)
        unneeded = index.record_found(self.found, pack, end, anew=self._anew)
        unneeded += self._unneeded
        if not self._anew:
            unneeded += self._copies_of_deleted()
        if unneeded:
            self._packs.mark(pack, [location.offset for location in unneeded], DEAD)
            index.set_recorded(pack, end)
        self.found, self._copies, self._unneeded = [], [], []

    def _moves(self) -> Iterator[Move]:
        """Yield the moves to copies here whose originals are marked, or gone: rows are to follow.

        A copy whose original is not marked yet is not needed.
        """
        for copy in self._copies:
            for old in self._index.places(copy.digest):
                fd = self._packs.open_with(old.pack, os.O_RDONLY)
                header = None if fd is None else read_head(fd, old.offset, copy.digest)
                if fd is None:
                    yield Move(copy.digest, old, copy.location)
                elif header is not None and header.life == copy.life and header.state == DEAD:
                    files.sync_data(fd, self._packs.path(old.pack))
                    yield Move(copy.digest, old, copy.location)

    def _copies_of_deleted(self) -> list[Location]:
        """Return the copies whose blobs were deleted before their rows could follow."""
        is_in_place = self._index.is_in_place
        left = [one for one in self._copies if not is_in_place(one.digest, one.location)]
        deleted = lives_deleted(self._packs) if left else set()
        return [one.location for one in left if one.life in deleted]
