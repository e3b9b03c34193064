"""Files that become blobs together and share the cost of durability.

All files are written; one sync puts their bytes on disk; all get their names; one more sync for
the names; one transaction for the rows. A failed sync fails the whole group.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Protocol

from contentdb import files
from contentdb.errors import (
    ContentDBError,
    CorruptBlobError,
    InvalidLabelError,
    RefLockedError,
    StorageError,
)
from contentdb.local.commit.publish import conclude, link_or_replace
from contentdb.local.commit.temporary import LEFT, Scratch
from contentdb.local.index import Outcome
from contentdb.local.layout import ALGORITHM_AND_SHARD
from contentdb.logs import swallow

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentdb.content import Info
    from contentdb.digest import Digest
    from contentdb.files import Directory
    from contentdb.local.commit.publish import Candidate
    from contentdb.local.resources import Parts

__all__ = ["Group", "Item", "Temp"]

_SYNC_ALL_FILES: Final = 8
"""From this many files on, one sync of the filesystem costs less than a sync of each file."""


class Item(Protocol):
    """A file in a group, and how it gets its name."""

    candidate: Candidate
    result: Info | ContentDBError | None

    def sync(self) -> None:
        """Put the file's bytes on disk."""
        ...

    def name(self, shard: Directory) -> None:
        """Give the file its name, over a damaged one."""
        ...

    def again(self) -> Info:
        """Store it alone, after a delete removed its name before it had a row."""
        ...

    def done(self) -> None:
        """Release or remove what is not needed any more, whatever the result."""
        ...


class Temp:
    """An item whose file was written for the group, from a source that can be read only once."""

    __slots__ = ("_name", "candidate", "parts", "result")

    def __init__(self, parts: Parts, name: str, candidate: Candidate) -> None:
        self.parts = parts
        self._name: str | None = name
        self.candidate = candidate
        self.result: Info | ContentDBError | None = None

    def sync(self) -> None:
        """Put the file's bytes on disk."""
        name = self._name or ""
        try:
            fd = files.open_file(self.parts.ingest, name, os.O_RDONLY)
        except OSError as error:
            raise StorageError.of("open", self.parts.ingest.child(name), error) from error
        try:
            files.sync(fd, self.parts.ingest.child(name))
        finally:
            files.let_go(fd)

    def name(self, shard: Directory) -> None:
        """Rename the file into its shard; a file of that name has the same content or is damaged.

        A store that does not sync keeps such a file: another process may have synced it.
        """
        encoded = self.candidate.digest.encoded
        if not self.parts.durable and files.stat_name(shard, encoded) is not None:
            link_or_replace(self.parts, self.candidate, shard, self._link)
            return
        files.rename(self.parts.ingest, self._name or "", shard, self.candidate.digest.encoded)
        self._name = None

    def _link(self, directory: Directory, name: str) -> bool:
        return files.link(self.parts.ingest, self._name or "", directory, name)

    def again(self) -> Info:
        """Raise: its source cannot be read again. Subclasses whose source can be read store it."""
        digest = self.candidate.digest
        path = self.parts.shards.path(digest)
        raise CorruptBlobError(digest, path, "it was deleted while it was being stored")

    def done(self) -> None:
        """Remove the file unless it has become a blob."""
        if self._name is not None:
            with swallow("local.commit", LEFT, ContentDBError, file=self._name):
                files.unlink(self.parts.ingest, self._name)
            self._name = None


class Group:
    """Items in the order they came; `flush` gives each its result."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._pid = os.getpid()
        self._scratch = Scratch(parts)
        self.items: list[Item] = []
        self.size = 0
        """Bytes of all items."""
        self._by_digest: dict[str, Item] = {}
        self._named: list[Item] = []
        self._touched: list[Digest] = []
        """One digest for each shard in which files were named."""

    @property
    def is_ours(self) -> bool:
        """Whether this process began it; the child of a fork must not use its files."""
        return self._pid == os.getpid()

    def known(self, digest: Digest) -> Item | None:
        """Return the item with that content, if the group has one."""
        return self._by_digest.get(digest)

    def new_file(self) -> tuple[str, int]:
        """Create a file for a `Temp`; return its name and descriptor, which the caller closes."""
        return self._scratch.create()

    def join(self, item: Item) -> Item:
        """Add an item whose file is written and hashed."""
        self.items.append(item)
        self._scratch.take()
        self.size += item.candidate.size
        self._by_digest[item.candidate.digest] = item
        return item

    def withdraw(self, is_meant: Callable[[Item], bool]) -> None:
        """Remove items before a flush."""
        for item in [item for item in self.items if is_meant(item)]:
            self._by_digest.pop(item.candidate.digest, None)
            self.items.remove(item)

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
        self._scratch.close()

    def steps(self) -> list[tuple[Callable[[], None], bool]]:
        """Return G2 to G5 of docs/design.md in their order, each with whether it is a sync."""
        return [
            (self.sync_files, True),
            (self.name, False),
            (self.sync_names, True),
            (self.record, False),
        ]

    # -- the steps themselves -----------------------------------------------------

    def sync_files(self) -> None:
        """Put the bytes of all items on disk."""
        if not self._parts.durable:
            return
        many = len(self.items) >= _SYNC_ALL_FILES
        if not (many and files.sync_filesystem(self._parts.ingest)):
            for item in self.items:
                item.sync()

    def name(self) -> None:
        """Name every item, shard by shard; if that fails, the error is the item's result."""
        shards: dict[str, list[Item]] = {}
        for item in self.items:
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
