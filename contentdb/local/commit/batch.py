"""Adds and commits inside ``with store.batch():``, which become durable together at its end."""

from __future__ import annotations

from contentdb.errors import ContentDBError
from contentdb.light_typing import TYPE_CHECKING, Protocol
from contentdb.local.commit.add import label_stored
from contentdb.local.commit.group_commit import Group
from contentdb.local.commit.joining import write_into
from contentdb.local.commit.publish import link_or_replace
from contentdb.values import Info, NewInfo

if TYPE_CHECKING:
    from typing import Final

    from contentdb.files import Directory
    from contentdb.labels import Labelling
    from contentdb.local.commit.candidate import Candidate
    from contentdb.local.commit.publish import Unpublished
    from contentdb.local.resources import Parts

__all__ = ["Batch", "Committing"]

_GROUP_COUNT: Final = 500


class Committing(Protocol):
    """An ingest whose commit has joined a group, and the steps that it still has to take."""

    @property
    def file(self) -> Unpublished: ...
    def confirm_room(self) -> None: ...
    def publish_joined(self, candidate: Candidate) -> Info: ...
    def settle_joined(self, result: Info | ContentDBError | None) -> None: ...


class _Commit:
    """An ingest's commit as an item of a group; its ref stays locked until the group is done."""

    def __init__(self, ingest: Committing, parts: Parts, candidate: Candidate) -> None:
        self.ingest = ingest
        self._parts = parts
        self.candidate = candidate
        self.result: Info | ContentDBError | None = None

    def content(self) -> bytes:
        """Return the bytes of the ingest."""
        return self.ingest.file.content()

    def confirm_room(self) -> None:
        """Make sure of the room that the ingest has reserved."""
        self.ingest.confirm_room()

    def sync(self) -> None:
        """Put the bytes on disk."""
        self.ingest.file.sync()

    def name(self, shard: Directory) -> None:
        """Link the file into its shard; the ingest keeps its own name until the blob has a row."""
        link_or_replace(self._parts, self.candidate, shard, self.ingest.file.link)

    def again(self) -> Info:
        """Publish and record the item alone."""
        return self.ingest.publish_joined(self.candidate)

    def done(self) -> None:
        """Free the ref; keep the ingest if it did not become a blob."""
        self.ingest.settle_joined(self.result)


class Batch:
    """The adds and commits of one thread's block, in groups of bounded size."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._group = Group(parts)

    @property
    def is_ours(self) -> bool:
        """Whether this process began it; the child of a fork must not use it."""
        return self._group.is_ours

    def find_stored(self, candidate: Candidate) -> Info | None:
        """Set the candidate's labels if its content is stored or in this batch; None if not."""
        item = self._group.known(candidate.digest)
        if item is None:
            owe_sync = self._group.owe_sync
            return label_stored(self._parts, candidate.digest, candidate.labelling, owe_sync)
        item.candidate.label(candidate.labelling)
        return item.candidate.info()

    def add(self, source: object, expected: str | None, labels: Labelling) -> Info:
        """Write a source; return the Info that its blob will have when the block ends."""
        result = write_into(self._group, self._parts, source, expected, labels)
        info = result if isinstance(result, Info) else result.expected_answer()
        self._flush_when_full()
        return info

    def join(self, ingest: Committing, candidate: Candidate) -> Info:
        """Add an ingest's commit to the group; its content must not be `stored`."""
        self._group.join(_Commit(ingest, self._parts, candidate))
        self._flush_when_full()
        return NewInfo.of(candidate.info())

    def withdraw(self, ingest: Committing) -> None:
        """Remove an ingest's commit from the waiting group, if it is there."""
        self._group.withdraw(lambda item: isinstance(item, _Commit) and item.ingest is ingest)

    def holds(self, ref: str) -> bool:
        """Return whether the commit of a ref waits for the end of the block, the ref locked."""
        return any(item.candidate.ref == ref for item in self._group.items)

    def discard(self) -> None:
        """Release the files that did not become blobs."""
        self._group.discard()

    def _flush_when_full(self) -> None:
        if len(self._group.items) >= _GROUP_COUNT or self._group.is_large:
            self.flush()

    def flush(self) -> None:
        """Make the waiting group durable.

        Raises:
            ContentDBError: The first error of an item. The other items are stored, unless a sync or
                the index failed, which fails them all.
        """
        group = self._group
        try:
            group.flush()
        except BaseException:  # from a signal handler
            group.discard()
            raise
        finally:
            self._group = Group(self._parts)
        if group.owed_error is not None:
            raise group.owed_error
        for item in group.items:
            if isinstance(item.result, ContentDBError):
                raise item.result
