"""The protocol that every engine implements. The front, `contentdb.store`, calls nothing else.

The front checks and converts arguments first: an engine gets digests as `Digest`, labels as
`Labelling`, filters parsed. What is the same in every engine belongs in the front, and no engine
imports another.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from contentdb.streams.resume import Taking

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
    from contentdb.streams.origin import Origin

__all__ = ["Capability", "Engine", "HeldIngest", "Query"]


class Capability(Enum):
    """What only some engines can do, beyond the contract's roles."""

    PATHS = "paths"
    """Return the file of a blob as a path that this process can open."""
    BATCHES = "batches"
    """Let the adds and commits of a block share the cost of durability."""
    UPKEEP = "upkeep"
    """Work on the store's own files: verify, repair, reindex, prune."""


class Query(NamedTuple):
    """The checked arguments of a walk."""

    texts: list[str]
    """The filters, as text."""
    chosen: Filter | None
    """The same filters, parsed; None selects all blobs."""
    sort: SortOrder
    after: Digest | None
    limit: int | None


class HeldIngest(Taking, Protocol):
    """One ingest whose ref this engine holds, until it is committed or closed."""

    @property
    def declared(self) -> Declared:
        """What its writers have declared so far."""
        ...

    @property
    def closed(self) -> bool:
        """Whether it was closed or committed, or belongs to the parent of a fork."""
        ...

    @property
    def is_unsent(self) -> bool:
        """Whether another namespace holds the content, so that only the commit is left to do."""
        ...

    def check_open(self) -> None:
        """Raise `WriterClosedError` if it is closed."""
        ...

    def write(self, data: Buffer) -> int:
        """Append all of the buffer; the caller may change it afterwards."""
        ...

    def restart(self) -> None:
        """Remove all bytes, the ref still held."""
        ...

    def commit(self, wanted: Digest | None, labels: Labelling, *, exist_ok: bool) -> Info:
        """Publish the bytes if they have the digest, and free the ref. Durable when it returns.

        Raises:
            DigestMismatchError: They have another one; the ingest stays.
            AlreadyExistsError: Not with ``exist_ok``; the ingest is removed.
        """
        ...

    def close(self) -> None:
        """Keep the bytes and free the ref; nothing happens after a commit or another close."""
        ...


class Engine(Protocol):
    """Rows, bytes and locks of one namespace of a store."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What this engine can do beyond the methods that every engine has."""
        ...

    @property
    def place(self) -> str:
        """Where the store is: its root, or its server's address."""
        ...

    @property
    def namespace(self) -> str:
        """The namespace whose blobs and ingests this engine sees."""
        ...

    # -- blobs

    def info(self, digest: Digest) -> Info:
        """Return what the index knows of a blob; raise `NotFoundError` or `CorruptBlobError`."""
        ...

    def exists(self, digest: Digest) -> bool:
        """Return whether a blob is stored and not known to be damaged."""
        ...

    def listed(self, digest: Digest) -> Digest:
        """Return the digest if its blob has a row, damaged or not; else raise `NotFoundError`."""
        ...

    def abbreviated(self, beginnings: list[str]) -> list[Digest]:
        """Return the digests of at most two blobs that begin with one of these texts."""
        ...

    def open(self, digest: Digest, *, verify: bool) -> Reader:
        """Open a blob for reading."""
        ...

    def read(self, digest: Digest) -> bytes:
        """Return all bytes of a blob, verified."""
        ...

    def path(self, digest: Digest) -> Path:
        """Return the file of a blob; needs `Capability.PATHS`."""
        ...

    def export(self, digest: Digest, target: Path, link: ExportLink) -> Path:
        """Write a blob to a path outside every store, verified, whole or not at all."""
        ...

    def update(
        self, digest: Digest, labels: Mapping[str, str], keys: frozenset[str] | None
    ) -> Info:
        """Replace all labels, or those of some keys. Durable when it returns."""
        ...

    def label_stored(self, digest: Digest, labels: Labelling) -> Info | None:
        """Set labels on content that is stored, durably; return None if it is not stored."""
        ...

    def walk(self, query: Query) -> Iterator[Info]:
        """Stream blobs, in the state of the moment when the caller asks for the first one."""
        ...

    def delete(self, digests: list[Digest], *, missing_ok: bool) -> int:
        """Remove blobs durably, up to the first absent one; return how many were removed."""
        ...

    # -- ingests

    def status(self, ref: str) -> Status:
        """Return the state of an ingest; raise `NotFoundError` if there is none."""
        ...

    def statuses(self, chosen: Filter, texts: tuple[str, ...]) -> Iterator[Status]:
        """Stream the ingests that the filter selects, by ref."""
        ...

    def abort(self, ref: str) -> None:
        """Drop an ingest; raise `NotFoundError` or `RefLockedError`."""
        ...

    def hold(
        self, ref: str, declared: Declared, takeover: Takeover, *, wait_s: float
    ) -> HeldIngest:
        """Begin an ingest or take it over, waiting for its ref for about ``wait_s`` seconds.

        The front calls it again and again, with half a second at most.

        Raises:
            RefLockedError: Another writer held the ref for all of that time.
            AlreadyExistsError: The expected content is stored; no ingest was made or changed.
        """
        ...

    @property
    def begins_with(self) -> Callable[[Origin, int, Digest], bool] | None:
        """A function that tells whether a source's first bytes have a digest.

        None where comparing the source with the ingest's bytes costs less.
        """
        ...

    # -- content without a ref

    def add(self, source: object, expected: Digest | None, labels: Labelling, link: Link) -> Info:
        """Store one source. Durable when it returns."""
        ...

    def add_many(
        self, asked: Iterator[Asked], *, keep_labels: bool, raising: bool
    ) -> Generator[Info | ContentDBError]:
        """Store many sources; yield an answer for each, in order, durable when it is yielded."""
        ...

    def batch(self) -> AbstractContextManager[None]:
        """Let this thread's adds and commits share the cost of durability.

        It needs `Capability.BATCHES`.
        """
        ...

    # -- the whole

    def usage(self) -> Usage:
        """Count blobs, ingests and their bytes."""
        ...

    def close(self) -> None:
        """Wait for calls of other threads, then free everything; a second call does nothing."""
        ...
