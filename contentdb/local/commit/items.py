"""The items of a group: a file that gets a name, or bytes that go into a pack."""

from __future__ import annotations

import os

from contentdb import files
from contentdb.errors import ContentDBError, CorruptBlobError, StorageError
from contentdb.light_typing import TYPE_CHECKING, Protocol
from contentdb.local.commit.publish import link_or_replace
from contentdb.local.commit.temporary import LEFT
from contentdb.logs import swallow

if TYPE_CHECKING:
    from contentdb.content import Info
    from contentdb.files import Directory
    from contentdb.local.commit.candidate import Candidate
    from contentdb.local.resources import Parts

__all__ = ["Item", "Small", "Temp"]


class Item(Protocol):
    """A file in a group, and how it gets its name."""

    candidate: Candidate
    result: Info | ContentDBError | None

    def content(self) -> bytes | memoryview:
        """Return all bytes, if they are few enough for a pack."""
        ...

    def confirm_room(self) -> None:
        """Make sure of the room that it has reserved for itself, apart from its group's."""
        ...

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


class Small:
    """An item whose content goes into a pack."""

    __slots__ = ("candidate", "data", "result")

    def __init__(self, candidate: Candidate, data: bytes | memoryview) -> None:
        self.candidate = candidate
        self.data = data
        self.result: Info | ContentDBError | None = None

    def content(self) -> bytes | memoryview:
        """Return the bytes."""
        return self.data

    def confirm_room(self) -> None:
        """Do nothing: its group has its room."""

    def sync(self) -> None:
        """Do nothing: it has no file."""

    def name(self, shard: Directory) -> None:
        """Do nothing, as `sync`."""

    def again(self) -> Info:
        """Raise: a record cannot be removed before it has a row."""
        raise AssertionError(self.candidate.digest)

    def done(self) -> None:
        """Do nothing."""


class Temp:
    """An item whose file was written for the group, from a source that can be read only once."""

    __slots__ = ("_name", "candidate", "parts", "result")

    def __init__(self, parts: Parts, name: str, candidate: Candidate) -> None:
        self.parts = parts
        self._name: str | None = name
        self.candidate = candidate
        self.result: Info | ContentDBError | None = None

    def content(self) -> bytes:
        """Raise: it is too large for a pack."""
        raise AssertionError(self._name)

    def confirm_room(self) -> None:
        """Do nothing: its group has its room."""

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
