"""``with store.batch():`` ordinary adds and commits that become durable together, at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from contentdb.content import Info, NewInfo
from contentdb.errors import ContentDBError
from contentdb.local.commit.add import stored_with
from contentdb.local.commit.group_commit import Group
from contentdb.local.commit.joining import write_into
from contentdb.local.commit.publish import link_or_replace

if TYPE_CHECKING:
    from contentdb.files import Directory
    from contentdb.labels import Labelling
    from contentdb.local.commit.publish import Candidate
    from contentdb.local.resources import Parts

__all__ = ["Batch", "Committing"]

_GROUP_COUNT: Final = 500
_GROUP_BYTES: Final = 64 << 20


class Committing(Protocol):
    """A writer whose commit shares the cost of durability: the steps that it has left."""

    def sync(self) -> None: ...
    def link(self, directory: Directory, name: str) -> bool: ...
    def publish(self, candidate: Candidate) -> Info: ...
    def settle_joined(self, result: Info | ContentDBError | None) -> None: ...


class _Commit:
    """The commit of a writer as an item of a group: its ref stays held until the group is done."""

    def __init__(self, writer: Committing, parts: Parts, candidate: Candidate) -> None:
        self.writer = writer
        self._parts = parts
        self.candidate = candidate
        self.result: Info | ContentDBError | None = None

    def sync(self) -> None:
        """Put the bytes on disk."""
        self.writer.sync()

    def name(self, shard: Directory) -> None:
        """Link: the ingest keeps its own name until it has a row."""
        link_or_replace(self._parts, self.candidate, shard, self.writer.link)

    def again(self) -> Info:
        """Go through the commit alone."""
        return self.writer.publish(self.candidate)

    def done(self) -> None:
        """Free the ref; the ingest stays where it did not become a blob."""
        self.writer.settle_joined(self.result)


class Batch:
    """What one thread has added since its block began, in groups of bounded size."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._group = Group(parts)

    @property
    def is_ours(self) -> bool:
        """Whether it was begun in this process: the child of a fork has no part in it."""
        return self._group.is_ours

    def stored(self, candidate: Candidate) -> Info | None:
        """Set the labels of a candidate whose content is stored, or in this batch; None if not."""
        item = self._group.known(candidate.digest)
        if item is None:
            return stored_with(self._parts, candidate.digest, candidate.labelling)
        item.candidate.label(candidate.labelling)
        return item.candidate.info()

    def add(self, source: object, expected: str | None, labels: Labelling) -> Info:
        """Take a source in; what is told of it is what it will be when the block ends."""
        told = write_into(self._group, self._parts, source, expected, labels)
        info = told if isinstance(told, Info) else told.expected_answer()
        self._flush_when_full()
        return info

    def join(self, writer: Committing, candidate: Candidate) -> Info:
        """Take the commit of a writer in, of content that is not `stored`."""
        self._group.join(_Commit(writer, self._parts, candidate))
        self._flush_when_full()
        return NewInfo.of(candidate.info())

    def withdraw(self, writer: Committing) -> None:
        """Take the commit of a writer back, if it is in the group that waits."""
        self._group.withdraw(lambda item: isinstance(item, _Commit) and item.writer is writer)

    def holds(self, ref: str) -> bool:
        """Whether an ingest of that ref waits for the block's end, locked."""
        return any(item.candidate.ref == ref for item in self._group.items)

    def discard(self) -> None:
        """Let go of what did not become a blob."""
        self._group.discard()

    def _flush_when_full(self) -> None:
        if len(self._group.items) >= _GROUP_COUNT or self._group.size >= _GROUP_BYTES:
            self.flush()

    def flush(self) -> None:
        """Make durable what there is by now.

        Raises:
            ContentDBError: The first thing that failed; the other items are stored all the same
                unless it was a sync or the index, which fail together.
        """
        group = self._group
        try:
            group.flush()
        except BaseException:  # out of a handler
            group.discard()
            raise
        finally:
            self._group = Group(self._parts)
        for item in group.items:
            if isinstance(item.result, ContentDBError):
                raise item.result
