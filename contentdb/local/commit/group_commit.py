"""Files that become blobs together and share the cost of durability.

All files are written; one sync puts their bytes on disk; all get their names; one more sync for
the names; one transaction for the rows. A failed sync fails the whole group.
"""

from __future__ import annotations

import os

from contentdb import files
from contentdb.errors import ContentDBError, CorruptBlobError, InvalidLabelError, RefLockedError
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.commit.joining import answer_stored
from contentdb.local.commit.publish import conclude, pack_all
from contentdb.local.commit.temporary import Scratch
from contentdb.local.index import Outcome
from contentdb.local.layout import ALGORITHM_AND_SHARD
from contentdb.local.reservation import STEP_BYTES, Reservation

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from contentdb.content import Info
    from contentdb.digest import Digest
    from contentdb.files import Directory
    from contentdb.local.commit.items import Item
    from contentdb.local.resources import Parts

__all__ = ["Group"]

_GROUP_BYTES: Final = 64 << 20
_SHARE: Final = 8
"""A group has at most this part of a bound."""

_SYNC_ALL_FILES: Final = 8
"""From this many files on, one sync of the filesystem costs less than a sync of each file."""


class Group:
    """Items in the order they came; `flush` gives each its result."""

    def __init__(self, parts: Parts, *, looks_later: bool = False) -> None:
        """With ``looks_later`` it is not told of small content whether that is stored already.

        It finds out itself, by one statement for all of them. Not where a bound asks for room
        before content is taken, nor where other namespaces may have it.
        """
        self._parts = parts
        self.looks_later = looks_later and not parts.sharing.bounded and not parts.shares
        self._pid = os.getpid()
        self._scratch = Scratch(parts)
        self.items: list[Item] = []
        self.size = 0
        """Bytes of all items."""
        self.room = Reservation(parts)
        self._by_digest: dict[str, Item] = {}
        self._found: list[Item] = []
        """Small ones that turned out to be stored already."""
        self._small: list[Item] = []
        self._loose: list[Item] = []
        """Those of a flush that become records, and those that become files."""
        self._named: list[Item] = []
        self._touched: list[Digest] = []
        """One digest for each shard in which files were named."""
        self._owed: list[Callable[[], object]] = []
        self._is_recorded = False
        self.owed_error: ContentDBError | None = None
        """Why the answers for which `owe_sync` was called must not be given."""
        self._reserved = 0
        """Bytes of the items without an ingest."""

    @property
    def is_ours(self) -> bool:
        """Whether this process began it; the child of a fork must not use its files."""
        return self._pid == os.getpid()

    def known(self, digest: Digest) -> Item | None:
        """Return the item with that content, if the group has one."""
        return self._by_digest.get(digest)

    def owe_sync(self, note: Callable[[], object]) -> None:
        """Sync the index at the end, for an answer that rests on a row; then call ``note``."""
        self._owed.append(note)

    def new_file(self) -> tuple[str, int]:
        """Create a file for a `Temp`; return its name and descriptor, which the caller closes."""
        return self._scratch.create()

    def cover(self, size: int) -> None:
        """Reserve room for so many bytes of one more item; see `contentdb.local.reservation`."""
        self.room.cover(self._reserved + size, step=STEP_BYTES)

    def join(self, item: Item) -> Item:
        """Add an item whose file is written and hashed."""
        if item.candidate.token is None:  # an ingest has its own
            self._reserved += item.candidate.size
        self.items.append(item)
        self._scratch.take()
        self.size += item.candidate.size
        self._by_digest[item.candidate.digest] = item
        return item

    @property
    def is_large(self) -> bool:
        """Whether it has bytes enough to be flushed: only then can a collection take them."""
        most = self._parts.quota.max_bytes
        return self.size >= (_GROUP_BYTES if most is None else min(_GROUP_BYTES, most // _SHARE))

    def withdraw(self, is_meant: Callable[[Item], bool]) -> None:
        """Remove ingests before a flush."""
        for item in [item for item in self.items if is_meant(item)]:
            self._by_digest.pop(item.candidate.digest, None)
            self.items.remove(item)
            self.size -= item.candidate.size

    def flush(self) -> None:
        """Publish all items and give each its result. Durable when it returns.

        A `ContentDBError` that concerns all items becomes the result of each; other exceptions are
        raised.
        """
        try:
            for step, _ in self.steps():
                step()
        except ContentDBError as error:
            self.fail(error)
        finally:
            self.discard()

    def fail(self, error: ContentDBError) -> None:
        """Make an error the result of each item that has none yet."""
        for item in self.items:
            item.result = item.result or error
        if self._owed:
            self.owed_error = error
            for item in self._found:
                item.result = error

    def discard(self) -> None:
        """Release all files that have not become blobs; may be repeated."""
        try:
            self._discard()
        except BaseException:  # from a signal handler; unreleased files keep refs locked
            self._discard()
            raise

    def _discard(self) -> None:
        if not self.is_ours:
            return
        for item in self.items:
            self._parts.in_flight.pop(id(item.candidate), None)
            item.done()
        self.room.close()
        self._scratch.close()

    def steps(self) -> list[tuple[Callable[[], None], bool]]:
        """Return G2 to G5 of docs/design.md in their order, each with whether it is a sync."""
        with_files = [
            (self.sync_files, True),
            (self.name, False),
            (self.sync_names, True),
            (self.record, False),
        ]
        packs_up = self._parts.packs_up
        self._small = [item for item in self.items if packs_up(item.candidate.size)]
        self._loose = self.items
        if self._small:
            self._loose = [item for item in self.items if not packs_up(item.candidate.size)]
        packed = [(self.pack, True)] if self._small else []
        may_owe = self._owed or (self._small and self.looks_later)
        owed = [(self.settle_owed, True)] if may_owe else []
        if self._parts.sharing.bounded and self.items:
            packed.insert(0, (self.confirm_room, False))
        if self._small and self.looks_later:
            packed.insert(0, (self.find_stored, False))
        return packed + (with_files if self._loose else []) + owed

    # -- the steps themselves -----------------------------------------------------

    def confirm_room(self) -> None:
        """Make sure that the items still have their room; see `Reservation.confirm`."""
        self.room.confirm(self._reserved)
        for item in self.items:
            if item.candidate.token is None:  # an ingest has its own
                item.candidate.reserved = self.room.name
            item.confirm_room()

    def find_stored(self) -> None:
        """Give their results to small items that are stored already; see `looks_later`."""
        self._found = answer_stored(self._parts, self._small, self.owe_sync)
        self._reserved -= sum(item.candidate.size for item in self._found)
        self._small = [item for item in self._small if item.result is None]

    def pack(self) -> None:
        """Store the small items as records of a pack, and give them their results."""
        if not self._small:
            return
        from contentdb.local.packs.append import Packing  # few stores have packs

        packings = [Packing(item.candidate, item.content()) for item in self._small]
        for item, outcome in zip(self._small, pack_all(self._parts, packings), strict=True):
            if isinstance(outcome, ContentDBError):
                item.result = outcome
            else:
                self._settle(item, outcome)

    def settle_owed(self) -> None:
        """Put on disk what answers rest on, unless `record` has, and note that."""
        if self._owed and self._parts.durable and not self._is_recorded:
            self._parts.index.sync()
        for note in self._owed:
            note()

    def sync_files(self) -> None:
        """Put the bytes of all items on disk."""
        if not self._parts.durable:
            return
        loose = self._loose
        many = len(loose) >= _SYNC_ALL_FILES
        if not (many and files.sync_filesystem(self._parts.ingest)):
            for item in loose:
                item.sync()

    def name(self) -> None:
        """Name every item, shard by shard; if that fails, the error is the item's result."""
        shards: dict[str, list[Item]] = {}
        for item in self._loose:
            digest = item.candidate.digest
            self._parts.in_flight[id(item.candidate)] = digest
            shards.setdefault(digest[ALGORITHM_AND_SHARD], []).append(item)
        for items in shards.values():
            self._name_in_shard(items)
            self._touched.append(items[0].candidate.digest)

    def _name_in_shard(self, items: list[Item]) -> None:
        shard = self._parts.shards.shard_to_name_in(items[0].candidate.digest)
        try:
            for item in items:
                try:
                    item.name(shard)
                except FileNotFoundError:
                    item.result = _removed_error(item, shard)
                except ContentDBError as error:
                    item.result = error
                else:
                    self._named.append(item)
        finally:
            shard.close()

    def sync_names(self) -> None:
        """Put the names of all items on disk."""
        if not self._parts.durable:
            return
        self._parts.shards.sync_names(self._touched)

    def record(self) -> None:
        """Record a row for each named item, and give the item its result."""
        entries = [item.candidate for item in self._named]
        try:
            outcomes = self._parts.index.record(entries)
            self._is_recorded = True
        except InvalidLabelError:  # too many, with those that one of the blobs has
            for item in self._named:
                self._record_alone(item)
            return
        for item, outcome in zip(self._named, outcomes, strict=True):
            self._settle(item, outcome)

    def _record_alone(self, item: Item) -> None:
        try:
            (outcome,) = self._parts.index.record([item.candidate])
        except ContentDBError as error:
            item.result = error
        else:
            self._settle(item, outcome)

    def _settle(self, item: Item, outcome: Outcome) -> None:
        try:
            item.result = self._result(item, outcome)
        except ContentDBError as error:
            item.result = error

    def _result(self, item: Item, outcome: Outcome) -> Info:
        if outcome is Outcome.GONE:
            return item.again()
        if outcome is Outcome.FENCED:
            raise RefLockedError(item.candidate.ref or "")
        return conclude(self._parts, item.candidate, outcome)


def _removed_error(item: Item, shard: Directory) -> ContentDBError:
    digest = item.candidate.digest
    return CorruptBlobError(digest, shard.child(digest.encoded), "its file was removed by hand")
