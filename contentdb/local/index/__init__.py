"""The index: what is stored and what is coming in, behind one small interface.

`Index` is all that the store and the writer know. `contentdb.local.index.sqlite` is the engine
there is; another database joins by playing the same role.
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
    """What a row of a blob says; plain integers, as they stand in the database."""

    LIVE = 0
    TOMBSTONE = 1
    DAMAGED = 2


class Outcome(Enum):
    """What recording a blob found under the write lock."""

    CREATED = "created"
    """The row is new, or a tombstone was revived as a new one."""
    HEALED = "healed"
    """The row of a damaged blob is live again, as old as it was, with its labels."""
    EXISTS = "exists"
    """A live row was there already; it has its labels set, if it lacked any."""
    GONE = "gone"
    """The blob's file, or the row relied on, had been deleted meanwhile: name it again and
    record it again."""
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
    """Of its file, unique over all namespaces."""
    token: str
    total: int | None
    expected: str | None
    offset: int
    started_ns: int
    updated_ns: int
    holder: str
    held_since_ns: int
    metadata: str | None = None
    """A JSON object of texts, or nothing."""


class Entry(Protocol):
    """What is to be recorded of one blob whose file has its name already."""

    digest: Digest
    size: int
    checksum: int
    now_ns: int
    """Even, so that `Index.adopt` can tell of a row that it is no commit's."""
    ref: str | None
    token: str | None
    only_if: frozenset[int | None] | None
    """States of its row that it relies on, None among them for no row; None: any will do."""

    @property
    def labelling(self) -> Labelling: ...

    def present(self) -> bool:
        """Whether the blob's file still has its name and size: one stat."""
        ...

    def stamp(self, moment_ns: int, *, instead_of_ns: int | None = None) -> None:
        """Give the file that `present` saw the time of its row, if it is known to be whole.

        It is so by what its maker knows, or by having the time that the row had before.
        """
        ...


class FileTime(Protocol):
    """The time of modification of a blob's file; see `contentdb.local.file_times`."""

    def find(self) -> int | None:
        """Nanoseconds since the epoch; None where there is no file."""
        ...

    def set(self, moment_ns: int) -> None:
        """Set it, if there is a file."""
        ...


class Index(Protocol):
    """The transactions of the store, each atomic, bound to one namespace.

    Those that say durable survive a power cut once they have returned, unless the index
    was opened without durability.
    """

    # -- blobs
    def blob(self, digest: Digest) -> Blob | None:
        """The row, tombstones included."""
        ...

    def info(self, digest: Digest, blob: Blob) -> Info:
        """Complete a row with its labels."""
        ...

    def record(self, entries: Sequence[Entry]) -> list[Outcome]:
        """Durable: insert blobs and end their ingests, in one transaction."""
        ...

    def adopt(self, entry: Entry) -> bool:
        """Durable: a row for a file without one, or whose row says that it was damaged.

        ``entry.now_ns`` is the file's time of modification: by it a commit that has named this
        file and not recorded it yet knows the row for its own. False if there is nothing to
        adopt any more, or something claims the blob.
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
        """Durable: replace all labels, or those of the keys; False if there is no live blob.

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
        """Durable: set labels, and leave the others; False if there is no live blob.

        Where it has them already nothing changes; else the file gets its time as above.
        """
        ...

    def restamp(self, digest: Digest, time: FileTime, is_whole: Callable[[], bool]) -> None:
        """Give the file the time of its live row, if under the write lock it is still whole."""
        ...

    def vouches(self, digest: Digest, found_ns: int) -> bool:
        """Whether the time of the blob's file is that of a live row, of whatever namespace."""
        ...

    def mark_damaged(self, digest: Digest, take_away: Callable[[], bool] = lambda: True) -> bool:
        """Durable: keep the row but serve it no more, until its content is stored again.

        ``take_away`` is called under the write lock, to rename the file away, and may refuse.
        False if it did; a row need not be there.
        """
        ...

    def harden(self, digest: Digest) -> None:
        """Durable: what was recorded of the blob, and all before it, without durability."""
        ...

    def entomb(self, digest: Digest, time: FileTime | None = None) -> bool:
        """Durable: the first half of a deletion; False if there is no blob.

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
        """Durable: `entomb` for each, in one transaction; which ones there were.

        Without ``missing_ok`` it ends before the first that is absent.
        """
        ...

    def bury(self, digest: Digest, take_away: Callable[[], object]) -> bool:
        """Drop a row that is still a tombstone. Not durable: it may come back as one.

        ``take_away`` is called under the write lock, to rename the file away, unless another
        namespace has the blob too. False if the row was revived meanwhile.
        """
        ...

    def bury_all(
        self, digests: Sequence[Digest], take_away: Callable[[Digest], object]
    ) -> list[Digest]:
        """`bury` for each, in one transaction; which ones. Not durable: all may come back."""
        ...

    def drop(self, digests: Sequence[Digest], is_gone: Callable[[Digest], bool]) -> int:
        """Durable: forget rows whose files are gone; how many. It is asked under the lock."""
        ...

    def elsewhere(self, digest: Digest) -> Blob | None:
        """The row of a live blob that another namespace has, if any does."""
        ...

    def claims(self, digest: Digest) -> bool:
        """Whether any namespace has a row of the blob, or an ingest that expects it."""
        ...

    def unless_claimed(self, digest: Digest, act: Callable[[], bool]) -> bool:
        """Call ``act`` under the write lock if nothing claims the blob; whether it acted."""
        ...

    def tombstones(self) -> Iterator[Digest]:
        """Deletions that were begun and not ended; the caller may end them as they come."""
        ...

    def shortened(self, prefix: str) -> list[Digest]:
        """At most two digests that begin so."""
        ...

    def rows_between(self, first: str, behind: str) -> list[tuple[str, int, int, int]]:
        """Digest, size, checksum and state of a range, in digest order."""
        ...

    def walk(
        self, chosen: Filter | None, sort: str, after: str | None, limit: int | None
    ) -> Iterator[Info]:
        """Stream live blobs as of the start, in bounded memory."""
        ...

    def is_empty(self) -> bool:
        """Whether no namespace has a row of a blob."""
        ...

    def usage(self) -> Usage:
        """Count in one query."""
        ...

    # -- ingests
    def begin(self, row: IngestRow, takeover: Takeover) -> IngestRow:
        """Take an ingest over, or make it, under the row's token. Not durable.

        `FailedPreconditionError` where ``AGREE`` meets a contradiction; nothing changes then.
        """
        ...

    def pause(
        self, ref: str, token: str, offset: int, now_ns: int, *, durable: bool = False
    ) -> None:
        """Note how far a writer came: so many bytes are on disk, if its store is durable."""
        ...

    def end(self, ref: str, token: str) -> bool:
        """Forget an ingest, if the token is still its own."""
        ...

    def ingest(self, ref: str) -> IngestRow | None:
        """One row."""
        ...

    def ingests(self) -> Iterator[IngestRow]:
        """All rows, by ref, read in pages; the caller may end ingests as they come.

        What begins or ends meanwhile may be among them or not.
        """
        ...

    def ingest_of(self, name: str) -> tuple[str, str] | None:
        """Namespace and ref of the ingest whose file has that name."""
        ...

    def ingests_named(self, names: Sequence[str]) -> set[str]:
        """Those of some hundred names that an ingest's file has, of any namespace."""
        ...

    # -- itself
    def revision(self) -> str | None:
        """Of its schema; None where nothing was made yet. Refuses what is no index of ours."""
        ...

    def check(self) -> list[str]:
        """Read all of the database against itself: what is wrong with it, one sentence each."""
        ...

    def before_fork(self) -> None: ...
    def look_at_unseen_fork(self) -> None: ...
    def after_fork_in_child(self) -> ContentDBError | None: ...
    def close(self) -> None: ...
