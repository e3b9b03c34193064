"""What an engine must do, for the one front over all of them: `contentdb.store`.

An engine gets its arguments checked and converted: digests as `Digest`, labels as they are to be
set, filters read. It decides nothing that would be the same in another engine, and no engine
knows another.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from contentdb.content import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from typing_extensions import Buffer

    from contentdb.asked import Asked
    from contentdb.content import ExportLink, Info, Link, Reader, SortOrder, Status, Usage
    from contentdb.declared import Declared, Takeover
    from contentdb.digest import Digest
    from contentdb.errors import ContentDBError
    from contentdb.filters import Filter
    from contentdb.labels import Labelling
    from contentdb.streams.resume import Comparing
    from contentdb.streams.source import Origin

__all__ = ["Capability", "Engine", "HeldIngest", "Query"]


class Capability(Enum):
    """What an engine may be able to do beyond the contract's roles."""

    PATHS = "paths"
    """Blobs are files that this process can reach."""
    BATCHES = "batches"
    """Adds and commits of a block can share the cost of durability."""
    UPKEEP = "upkeep"
    """The store's own files are at hand: verify, repair, reindex, prune."""


class Query(NamedTuple):
    """What a walk is asked for."""

    texts: list[str]
    """The filters, as text."""
    chosen: Filter | None
    """The same, read; None for all blobs."""
    sort: SortOrder
    after: Digest | None
    limit: int | None


class HeldIngest(Writer, Protocol):
    """One ingest whose ref this engine holds: a writer, and what `Store.ingest` needs of it."""

    @property
    def is_unsent(self) -> bool:
        """Whether another namespace holds the content, so that only the commit is left to do."""
        ...

    def feed(self, data: Buffer) -> None:
        """Append; the buffer must stay as it is until `settle`."""
        ...

    def settle(self, *, pending: int = 0) -> None:
        """Return when no more than so many buffers of `feed` are in use."""
        ...

    def comparison(self) -> Comparing:
        """Let a source be compared with what is there, before any more of it is appended."""
        ...

    def redeclare(
        self, *, total: int | None, expected: Digest | None, metadata: str | None = None
    ) -> None:
        """Let this replace what was declared before."""
        ...


class Engine(Protocol):
    """Rows, bytes and locks of one namespace of a store."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What it can do beyond what is below."""
        ...

    @property
    def place(self) -> str:
        """Where the store is: its root, or its server's address."""
        ...

    @property
    def namespace(self) -> str:
        """Whose blobs and ingests are seen."""
        ...

    # -- blobs

    def info(self, digest: Digest) -> Info:
        """Describe a blob; `NotFoundError`, `CorruptBlobError`."""
        ...

    def exists(self, digest: Digest) -> bool:
        """Whether a blob is stored and not known to be damaged."""
        ...

    def listed(self, digest: Digest) -> Digest:
        """Return the digest of a blob that has a row, damaged or not; `NotFoundError`."""
        ...

    def abbreviated(self, beginnings: list[str]) -> list[Digest]:
        """Return two blobs at most whose digests begin in one of these ways."""
        ...

    def open(self, digest: Digest, *, verify: bool) -> Reader:
        """Open a blob for reading."""
        ...

    def read(self, digest: Digest) -> bytes:
        """Return all bytes of a blob, verified."""
        ...

    def path(self, digest: Digest) -> Path:
        """Return the file of a blob; only with `Capability.PATHS`."""
        ...

    def export(self, digest: Digest, target: Path, link: ExportLink) -> Path:
        """Write a blob to a place outside of every store, verified, whole or not at all."""
        ...

    def update(
        self, digest: Digest, labels: Mapping[str, str], keys: frozenset[str] | None
    ) -> Info:
        """Replace all labels, or those of some keys. Durable."""
        ...

    def label_stored(self, digest: Digest, labels: Labelling) -> Info | None:
        """Set the labels of a call on content that is stored. Durable; None if it is not stored."""
        ...

    def walk(self, query: Query) -> Iterator[Info]:
        """Stream blobs as they are when the first one is asked for."""
        ...

    def delete(self, digests: list[Digest], *, missing_ok: bool) -> int:
        """Remove blobs, up to the first that is absent. Durable; gives how many there were."""
        ...

    # -- ingests

    def status(self, ref: str) -> Status:
        """Describe an ingest; `NotFoundError`."""
        ...

    def statuses(self, chosen: Filter, texts: tuple[str, ...]) -> Iterator[Status]:
        """Stream the ingests that the filter selects, by ref."""
        ...

    def abort(self, ref: str) -> None:
        """Drop an ingest; `NotFoundError`, `RefLockedError`."""
        ...

    def hold(
        self, ref: str, declared: Declared, takeover: Takeover, *, wait_s: float
    ) -> HeldIngest:
        """Begin an ingest or take it over; `RefLockedError` if it is held for ``wait_s`` more.

        Raises:
            AlreadyExistsError: The expected content is stored; no ingest was made or changed.
        """
        ...

    @property
    def begins_with(self) -> Callable[[Origin, int, Digest], bool] | None:
        """Tells whether a source begins with so many bytes of a digest, where that is cheaper."""
        ...

    # -- content without a ref

    def add(self, source: object, expected: Digest | None, labels: Labelling, link: Link) -> Info:
        """Store one source. Durable."""
        ...

    def add_many(
        self, asked: Iterator[Asked], *, keep_labels: bool, raising: bool
    ) -> Generator[Info | ContentDBError]:
        """Store many sources; an answer for each, in order, durable when it is yielded."""
        ...

    def batch(self) -> AbstractContextManager[None]:
        """Let this thread's adds and commits share the cost of durability; needs the capability."""
        ...

    # -- the whole

    def usage(self) -> Usage:
        """Count blobs, ingests and their bytes."""
        ...

    def close(self) -> None:
        """Free all that it holds; twice is harmless. Calls of other threads are waited for."""
        ...
