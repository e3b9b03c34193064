"""The protocol that every engine implements. The front, `contentdb.store`, calls nothing else.

The front checks and converts arguments first: an engine gets digests as `Digest`, labels as
`Labelling`, filters parsed. What is the same in every engine belongs in the front, and no engine
imports another.
"""

# Long: the protocols are read as a whole.

from __future__ import annotations

from contentdb.errors import ConflictError
from contentdb.labels import ANNOTATION
from contentdb.light_typing import TYPE_CHECKING, Enum, NamedTuple, Protocol
from contentdb.streams.pump import Taking
from contentdb.values import ANY

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import Literal

    from typing_extensions import Buffer

    from contentdb.asked import Asked
    from contentdb.content import (
        Anything,
        Collected,
        Collection,
        ExportLink,
        Info,
        LeaseInfo,
        LeaseItem,
        Link,
        Policy,
        QueueStatus,
        Reader,
        SortOrder,
        Status,
        Step,
        Tag,
        Usage,
    )
    from contentdb.declared import Declared, Takeover
    from contentdb.digest import Digest
    from contentdb.errors import ContentDBError
    from contentdb.filters import Filter
    from contentdb.findings import Action, Finding
    from contentdb.labels import Labelling
    from contentdb.streams.origin import Origin

__all__ = [
    "AdoptEngine",
    "Adopted",
    "Capability",
    "CollectEngine",
    "CollectTerms",
    "Engine",
    "HeldIngest",
    "LeaseEngine",
    "LeaseTerms",
    "LeasedEngine",
    "PolicyEngine",
    "PruneEngine",
    "Pruned",
    "Query",
    "TagChange",
    "TagEngine",
    "UrlEngine",
    "VerifyEngine",
    "check_condition",
]


class Capability(Enum):
    """What only some engines can do, beyond the contract's roles."""

    PATHS = "paths"
    """Return the file of a blob as a path that this process can open."""
    BATCHES = "batches"
    """Let the adds and commits of a block share the cost of durability."""
    UPKEEP = "upkeep"
    """Work on the store's own files: reindex, pack."""
    COLLECT = "collect"
    """Take what nothing keeps, and tell what keeps a blob."""
    POLICIES = "policies"
    """Keep a namespace within a bound, and tell what was not used for longest."""
    VERIFY = "verify"
    """Compare bytes with rows, and act on what is found."""
    PRUNE = "prune"
    """Remove what was abandoned."""
    ADOPT = "adopt"
    """Make blobs of the objects that a restored database does not know."""
    TAGS = "tags"
    """Give blobs names."""
    LEASES = "leases"
    """Keep content for as long as a lease lives."""
    URLS = "urls"
    """Make URLs by which others read a blob from where its bytes are."""


class Query(NamedTuple):
    """The checked arguments of a walk."""

    texts: list[str]
    """The filters, as text."""
    chosen: Filter | None
    """The same filters, parsed; None selects all blobs."""
    sort: SortOrder
    after: Digest | None
    limit: int | None


class TagChange(NamedTuple):
    """The checked arguments of a tag."""

    name: str
    digest: Digest
    media_type: str | None
    labels: Mapping[str, str] | None
    """None keeps those of a tag that is there."""
    if_is: Digest | Anything | None
    """What the name must stand for now; None means nothing."""

    def media_type_after(self, old: Tag | None) -> str | None:
        """Return the tag's media type after this; without one given, that of the same blob stays.

        Args:
            old: The tag as it is; None if there is none of this name.
        """
        if self.media_type is None and old is not None and old.digest == self.digest:
            return old.media_type
        return self.media_type

    def labels_after(self, old: Tag | None) -> Mapping[str, str]:
        """Return the tag's labels after this; annotations describe a blob, and stay with it."""
        if self.labels is not None:
            return self.labels
        kept = {} if old is None else old.labels
        if old is not None and old.digest == self.digest:
            return kept
        return {key: value for key, value in kept.items() if not key.startswith(ANNOTATION)}


def check_condition(name: str, old: Tag | None, if_is: Digest | Anything | None) -> None:
    """Raise `ConflictError` unless a name stands for what it must, which is nothing for None."""
    found = None if old is None else old.digest
    if if_is is not ANY and found != if_is:
        raise ConflictError(name, wanted=if_is, found=found)


class LeaseTerms(NamedTuple):
    """The checked arguments of a new lease."""

    id: str | None
    """None for one that the engine makes up."""
    expires_ns: int | None
    """When it ends by itself, in nanoseconds since the epoch."""
    lasting: bool
    """Whether it lives until it is ended. Without this and a time this process holds it."""
    flat: bool
    labels: Mapping[str, str]


class Pruned(NamedTuple):
    """One thing that a prune has removed, or would remove."""

    kind: Literal["ingest", "orphan", "leftover", "trash", "pack"]
    name: str
    """The ref of an ingest, the digest of an orphan, else the name of a file or an object. The
    blobs of a pack that is removed have been moved to another."""
    path: str
    size: int
    """Bytes; 0 if it is unknown."""


class Adopted(NamedTuple):
    """What was done, or would be, with objects that a restored database did not know."""

    adopted: int
    """Blobs that have rows now."""
    damaged: int
    """Objects whose bytes are not what their keys say; they stay as they are."""


class CollectTerms(NamedTuple):
    """The checked arguments of a collection."""

    grace_ns: int | None
    """Take nothing of which a caller was told within this time that it is stored; None means the
    usual time."""
    full: bool
    """Look at all blobs, and not only at those whose time has come."""
    dry_run: bool
    limit: int | None
    ingests_ns: int | None
    """Drop ingests that no writer has changed for so long; None drops none."""
    no_roots: bool
    """Collect also where nothing says what is wanted."""
    max_bytes: int | None = None
    """Where there is more, take what was not used for longest, down to ``low_bytes``."""
    low_bytes: int | None = None
    unused_ns: int | None = None
    """Take only what was not used for so long."""
    filters: tuple[str, ...] = ()
    """Take only what any of them selects; () selects all."""

    @property
    def is_of_cache(self) -> bool:
        """Whether it takes what was not used, rather than all that nothing keeps."""
        return self.max_bytes is not None or self.unused_ns is not None


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
        """Where the store is: its root, or the address of its server or its database."""
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


class PruneEngine(Engine, Protocol):
    """The further method of an engine with `Capability.PRUNE`."""

    def prune(
        self, *, older_than: float, dry_run: bool, progress: Callable[[Pruned], object]
    ) -> list[Pruned]:
        """Remove what was abandoned for so many seconds; tell and return what was removed."""
        ...


class VerifyEngine(Engine, Protocol):
    """The further methods of an engine with `Capability.VERIFY`."""

    def verify(self, *, quick: bool) -> Iterator[Finding]:
        """Compare bytes with rows, changing nothing, and yield each difference."""
        ...

    def mend(self, finding: Finding, *, dry_run: bool) -> Action:
        """Act on a finding after another check of it; return what was or would be done."""
        ...


class UrlEngine(Engine, Protocol):
    """The further method of an engine with `Capability.URLS`."""

    def urls(self, digest: Digest, seconds: int) -> list[str]:
        """Return the URLs of a blob's objects, in order, which work for so many seconds.

        Raises:
            FailedPreconditionError: This blob has no object.
        """
        ...


class AdoptEngine(Engine, Protocol):
    """The further method of an engine with `Capability.ADOPT`."""

    def adopt(self, *, dry_run: bool) -> Adopted:
        """Give the blobs that no row names rows, once the database was restored."""
        ...


class CollectEngine(Engine, Protocol):
    """The further methods of an engine with `Capability.COLLECT`."""

    def collect(self, terms: CollectTerms, progress: Callable[[Collected], object]) -> Collection:
        """Remove what nothing keeps; tell of each blob once it is gone."""
        ...

    def why(self, digest: Digest) -> tuple[Step, ...]:
        """Return the way up to what keeps a blob; raise `NotFoundError` or `UndecidedError`."""
        ...

    def queue_status(self) -> QueueStatus:
        """Count what waits for a collection."""
        ...


class PolicyEngine(CollectEngine, Protocol):
    """The further methods of an engine with `Capability.POLICIES`."""

    def policy(self) -> Policy | None:
        """Return the policy of the namespace."""
        ...

    def set_policy(self, policy: Policy | None) -> None:
        """Set the policy of the namespace, or remove it. Durable when it returns."""
        ...


class TagEngine(Engine, Protocol):
    """The further methods of an engine with `Capability.TAGS`."""

    def tag(self, change: TagChange) -> Tag:
        """Let a name stand for a live blob, if its condition holds. Durable when it returns."""
        ...

    def untag(self, name: str, if_is: Digest | Anything) -> None:
        """Remove a name, if its condition holds. Durable when it returns."""
        ...

    def tagged(self, name: str) -> Tag:
        """Return a tag; raise `NotFoundError`."""
        ...

    def tags(
        self, of: Digest | None, chosen: Filter | None, texts: tuple[str, ...]
    ) -> Iterator[Tag]:
        """Stream tags by name, in pages: those of one digest, those that the filter selects.

        ``texts`` is the filter as it was written.
        """
        ...


class LeasedEngine(TagEngine, Protocol):
    """An engine bound to a lease: what it commits or finds stored becomes the lease's at once."""

    @property
    def lease_id(self) -> str:
        """The lease's name."""
        ...

    def keep(self, digest: Digest) -> bool:
        """Add a blob if it is stored, durably; return whether it is."""
        ...

    def lease_info(self) -> LeaseInfo:
        """Describe the lease; raise `LeaseEndedError`."""
        ...

    def lease_items(self) -> Iterator[LeaseItem]:
        """Stream the items, by kind and name, in pages."""
        ...

    def add_lease_item(self, item: LeaseItem) -> None:
        """Add an item, whether it is there or not. Durable when it returns."""
        ...

    def drop_lease_item(self, item: LeaseItem) -> None:
        """Drop an item. Durable when it returns."""
        ...

    def end_own_lease(self) -> None:
        """End the lease; nothing happens if it has ended. Durable when it returns."""
        ...


class LeaseEngine(TagEngine, Protocol):
    """The further methods of an engine with `Capability.LEASES`."""

    def lease(self, terms: LeaseTerms) -> LeasedEngine:
        """Begin a lease. Durable when it returns."""
        ...

    def use_lease(self, id: str) -> LeasedEngine:  # noqa: A002 - as the contract calls it
        """Return an engine bound to a lease that is there; raise `NotFoundError`."""
        ...

    def leases(self, chosen: Filter | None) -> Iterator[LeaseInfo]:
        """Stream live leases by id, in pages."""
        ...

    def end_lease(self, id: str) -> None:  # noqa: A002 - as above
        """End a lease; raise `NotFoundError`. Durable when it returns."""
        ...
