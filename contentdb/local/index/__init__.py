"""The index of blobs and ingests, behind one small interface.

The store and the writer know only `Index`. `contentdb.local.index.sqlite` implements it; another
database would do so too.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from contentdb.content import Info, Usage
    from contentdb.declared import Takeover
    from contentdb.digest import Digest
    from contentdb.errors import ContentDBError
    from contentdb.filters import Filter
    from contentdb.labels import Labelling

__all__ = ["Blob", "Entry", "FileTime", "Index", "IngestRow", "Outcome", "State"]


class State:
    """The state of a blob's row; plain integers, as in the database."""

    LIVE = 0
    TOMBSTONE = 1
    DAMAGED = 2


class Outcome(Enum):
    """The result of recording a blob, under the write lock."""

    CREATED = "created"
    """The row is new, or a tombstone was revived as a new one."""
    HEALED = "healed"
    """The row of a damaged blob is live again, as old as it was, with its labels."""
    EXISTS = "exists"
    """There was a live row already; the labels that it lacked are set."""
    GONE = "gone"
    """The blob's file, or the row that the entry relies on, was deleted meanwhile: name the file
    and record it again."""
    FENCED = "fenced"
    """The ingest belongs to another writer now; nothing was recorded."""


class Blob(NamedTuple):
    """A row of a blob, whatever its state."""

    size: int
    checksum: int
    created_ns: int
    updated_ns: int
    state: int


class IngestRow(NamedTuple):
    """A row of an ingest."""

    ref: str
    name: str
    """The name of its file, unique over all namespaces."""
    token: str
    total: int | None
    expected: str | None
    offset: int
    started_ns: int
    updated_ns: int
    holder: str
    held_since_ns: int
    metadata: str | None = None
    """A JSON object of texts, or None."""


class Entry(Protocol):
    """The facts to record of one blob, whose file has its name already."""

    digest: Digest
    size: int
    checksum: int
    now_ns: int
    """Even: a row that `Index.adopt` makes has an odd time, which tells it from a commit's."""
    ref: str | None
    token: str | None
    only_if: frozenset[int | None] | None
    """States that its row may have, with None among them for no row; None allows any."""

    @property
    def labelling(self) -> Labelling: ...

    def present(self) -> bool:
        """Return whether the blob's file still has its name and size; one stat."""
        ...

    def stamp(self, moment_ns: int, *, instead_of_ns: int | None = None) -> None:
        """Give the file that `present` saw the time of its row, if it is known to be whole.

        It is, if the entry's maker knows so, or if the file has the time that the row had before.
        """
        ...


class FileTime(Protocol):
    """The modification time of a blob's file; see `contentdb.local.file_times`."""

    def find(self) -> int | None:
        """Return nanoseconds since the epoch; None if there is no file."""
        ...

    def set(self, moment_ns: int) -> None:
        """Set the time, if there is a file."""
        ...


class Index(Protocol):
    """The transactions of the store, each atomic, bound to one namespace.

    The changes of those that say "durable" survive a power cut once the call has returned, unless
    the index was opened without durability.
    """

    # -- blobs
    def blob(self, digest: Digest) -> Blob | None:
        """Return the row of a blob, tombstones included."""
        ...

    def info(self, digest: Digest, blob: Blob) -> Info:
        """Return the Info of a row, with its labels."""
        ...

    def record(self, entries: Sequence[Entry]) -> list[Outcome]:
        """Insert blobs and end their ingests, in one transaction; durable."""
        ...

    def adopt(self, entry: Entry) -> bool:
        """Give a file a row, if it has none or a row that says damaged; durable.

        ``entry.now_ns`` is the file's modification time: by it a commit that has named this file
        and not recorded it yet knows the row as its own. Return False if there is nothing to
        adopt any more, or if something claims the blob.
        """
        ...

    def update_labels(
        self,
        digest: Digest,
        labels: Mapping[str, str],
        keys: frozenset[str] | None,
        now_ns: int,
        time: FileTime | None = None,
    ) -> bool:
        """Replace all labels, or those of the keys; durable. Return False without a live blob.

        Under the write lock, before the row changes, the file gets its new time of update:
        ``now_ns``, or later if the old one is. A file whose time did not vouch for it keeps it.
        """
        ...

    def merge_labels(
        self,
        digest: Digest,
        labels: Mapping[str, str],
        now_ns: int,
        time: FileTime | None = None,
    ) -> bool:
        """Set labels, and leave the others; durable. Return False without a live blob.

        If the blob has them already nothing changes; else the file gets its time as above.
        """
        ...

    def restamp(self, digest: Digest, time: FileTime, is_whole: Callable[[], bool]) -> None:
        """Give the file the time of its live row, if under the write lock it is still whole."""
        ...

    def vouches(self, digest: Digest, found_ns: int) -> bool:
        """Return whether the time of the blob's file is that of a live row, in any namespace."""
        ...

    def mark_damaged(self, digest: Digest, take_away: Callable[[], bool] = lambda: True) -> bool:
        """Mark the row, which is not served until its content is stored again; durable.

        ``take_away`` is called under the write lock, to rename the file away, and may refuse:
        then return False. There need not be a row.
        """
        ...

    def harden(self, digest: Digest) -> None:
        """Make the blob's row durable, with all that was recorded before without durability."""
        ...

    def entomb(self, digest: Digest, time: FileTime | None = None) -> bool:
        """Do the first half of a delete; durable. Return False if there is no blob.

        Under the write lock, before the row changes, the file gets a time that says so, or that
        of another namespace's row.
        """
        ...

    def entomb_all(
        self,
        digests: Sequence[Digest],
        time_of: Callable[[Digest], FileTime | None],
        *,
        missing_ok: bool = False,
    ) -> list[Digest]:
        """Call `entomb` for each, in one transaction; durable. Return those that there were.

        Without ``missing_ok``, stop at the first that is missing.
        """
        ...

    def bury(self, digest: Digest, take_away: Callable[[], object]) -> bool:
        """Remove a row that is still a tombstone. Not durable: the tombstone may come back.

        ``take_away`` is called under the write lock, to rename the file away, unless another
        namespace has the blob too. Return False if the row was revived meanwhile.
        """
        ...

    def bury_all(
        self, digests: Sequence[Digest], take_away: Callable[[Digest], object]
    ) -> list[Digest]:
        """Call `bury` for each, in one transaction; return which. Not durable, as `bury`."""
        ...

    def drop(self, digests: Sequence[Digest], is_gone: Callable[[Digest], bool]) -> int:
        """Remove rows whose files are gone, asked under the lock; durable. Return how many."""
        ...

    def elsewhere(self, digest: Digest) -> Blob | None:
        """Return the row that another namespace has of a live blob, if any does."""
        ...

    def claims(self, digest: Digest) -> bool:
        """Return whether any namespace has a row of the blob, or an ingest that expects it."""
        ...

    def unless_claimed(self, digest: Digest, act: Callable[[], bool]) -> bool:
        """Call ``act`` under the write lock if nothing claims the blob; return whether it acted."""
        ...

    def tombstones(self) -> Iterator[Digest]:
        """Yield deletes that were begun and not ended; the caller may end them meanwhile."""
        ...

    def shortened(self, prefix: str) -> list[Digest]:
        """Return at most two digests that begin with the prefix."""
        ...

    def rows_between(self, first: str, behind: str) -> list[tuple[str, int, int, int]]:
        """Return digest, size, checksum and state of a range of rows, in digest order."""
        ...

    def walk(
        self, chosen: Filter | None, sort: str, after: str | None, limit: int | None
    ) -> Iterator[Info]:
        """Yield live blobs as of the start, in bounded memory."""
        ...

    def is_empty(self) -> bool:
        """Return whether no namespace has a row of a blob."""
        ...

    def usage(self) -> Usage:
        """Count blobs, ingests and bytes, in one query."""
        ...

    # -- ingests
    def begin(self, row: IngestRow, takeover: Takeover) -> IngestRow:
        """Begin an ingest, or take it over, under the row's token. Not durable.

        Raise `FailedPreconditionError` if ``AGREE`` meets a contradiction; nothing changes then.
        """
        ...

    def pause(
        self, ref: str, token: str, offset: int, now_ns: int, *, durable: bool = False
    ) -> None:
        """Note a writer's offset: that many bytes are on disk, if its store is durable."""
        ...

    def end(self, ref: str, token: str) -> bool:
        """Remove the row of an ingest, if it still has the token."""
        ...

    def ingest(self, ref: str) -> IngestRow | None:
        """Return the row of an ingest."""
        ...

    def ingests(self) -> Iterator[IngestRow]:
        """Yield all rows, by ref, read in pages; the caller may end ingests meanwhile.

        An ingest that begins or ends meanwhile may be yielded or not.
        """
        ...

    def ingest_of(self, name: str) -> tuple[str, str] | None:
        """Return namespace and ref of the ingest whose file has that name."""
        ...

    def ingests_named(self, names: Sequence[str]) -> set[str]:
        """Return those of some hundred names that are an ingest's file, in any namespace."""
        ...

    # -- itself
    def revision(self) -> str | None:
        """Return the schema's revision; None for an empty file. Raise for a foreign database."""
        ...

    def check(self) -> list[str]:
        """Check the whole database for consistency; return one sentence for each fault."""
        ...

    def before_fork(self) -> None: ...
    def look_at_unseen_fork(self) -> None: ...
    def after_fork_in_child(self) -> ContentDBError | None: ...
    def close(self) -> None: ...
