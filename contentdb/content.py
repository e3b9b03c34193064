"""The contract: what a content store holds and does. Its values are in `contentdb.values`.

A **blob** is committed content, addressed by the digest of its bytes and never changed. An
**ingest** is content on its way in, keyed by a **ref** that its caller chose, and invisible
to every read of blobs. The life of content: a `Writer` begins or resumes an ingest under a
lock, bytes are written, and `commit` turns it, verified and durable, into a blob. From then
on a `Provider` serves its bytes and a `Manager` its `Info`, until `delete`.

The roles are small on purpose: a function that only reads asks for a `Provider`, not for a
store. `contentdb.Store` plays all of them.
"""

# Long: the contract is read as a whole.

from __future__ import annotations

import io
from abc import abstractmethod
from collections.abc import Iterator
from typing import (
    TYPE_CHECKING,
    Literal,
    Protocol,
    Self,
    TypeVar,
    overload,
)

from contentdb.values import (
    ANY,
    Anything,
    Collected,
    Collection,
    Info,
    LeaseInfo,
    LeaseItem,
    Policy,
    QueueStatus,
    Status,
    Step,
    Tag,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import timedelta
    from os import PathLike
    from pathlib import Path
    from types import TracebackType
    from typing import BinaryIO

    from typing_extensions import Buffer

    from contentdb.digest import Digest
    from contentdb.errors import ContentDBError

__all__ = [
    "ANY",
    "Answers",
    "Anything",
    "Collected",
    "Collection",
    "Collector",
    "ContentStore",
    "ExportLink",
    "Info",
    "IngestManager",
    "Ingester",
    "Lease",
    "LeaseInfo",
    "LeaseItem",
    "Leaser",
    "Link",
    "Manager",
    "Openable",
    "Policy",
    "Progress",
    "Provider",
    "QueueStatus",
    "Reader",
    "SortOrder",
    "Source",
    "Status",
    "Step",
    "Tag",
    "Tagger",
    "Usage",
    "Writer",
]

T_co = TypeVar("T_co", covariant=True)

SortOrder = Literal[
    "digest", "-digest", "size", "-size", "created_at", "-created_at", "updated_at", "-updated_at"
]
"""The order of a walk; ``-`` means descending."""


Link = Literal["reflink", "hardlink", "copy", "move"]
"""How a file becomes a blob: share its blocks, link the file itself, copy it, or move it.

``move`` removes the file's name."""

ExportLink = Literal["reflink", "hardlink", "copy"]
"""How an export makes the caller's file: share the blob's blocks, link its file, or copy it."""


class Source(Protocol):
    """What content can come from: a binary file, a pipe, a member of an archive, a `Reader`."""

    def read(self, size: int, /) -> bytes | None:
        """Return up to ``size`` bytes, ``b""`` at the end.

        None, with which a non-blocking stream says that it has nothing yet, is an error.
        """
        ...


if TYPE_CHECKING:

    class _BinaryStream(io.RawIOBase, BinaryIO):
        """A raw stream that type checkers also accept as an ``IO[bytes]``."""
else:
    _BinaryStream = io.RawIOBase


class Reader(_BinaryStream):
    """A seekable binary stream over one blob that knows its digest and size.

    Bytes read from the beginning to the end are verified: the read that reaches the end of a
    damaged blob raises `CorruptBlobError` instead of returning the last bytes. Reads after a seek
    are not verified. A reader stays usable when the blob is deleted.
    """

    @property
    @abstractmethod
    def digest(self) -> Digest:
        """The blob's address."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Length of the blob in bytes."""

    @abstractmethod
    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to ``size`` bytes; to the end for None or a negative size."""

    @abstractmethod
    def readinto(self, buffer: Buffer, /) -> int:
        """Read into a buffer and return the count of bytes; 0 at the end."""


class Openable(Protocol):
    """A function that opens content at an offset from its beginning, such as by a Range request."""

    def __call__(self, offset: int, /) -> Source:
        """Open the content. The store closes the source after use, if it has ``close``."""
        ...


class Progress(Protocol):
    """A function that a call reports its progress to."""

    def __call__(self, done: int, total: int | None, /) -> object:
        """Take the bytes stored so far and the total, if known; an exception stops the call."""
        ...


class Writer(Protocol):
    """One ingest, whose ref this writer holds.

    Leaving its ``with`` block closes the writer and keeps the bytes written. It can stand for a
    binary file that is only appended to: a wrapper that closes its file closes the writer.
    """

    @property
    def ref(self) -> str: ...
    @property
    def offset(self) -> int: ...
    @property
    def digest(self) -> Digest: ...
    @property
    def closed(self) -> bool: ...
    def status(self) -> Status: ...
    def write(self, data: Buffer, /) -> int: ...
    def truncate(self) -> object: ...
    def commit(
        self,
        *,
        size: int | None = None,
        expected: str | None = None,
        labels: Mapping[str, str] | None = None,
        exist_ok: bool = True,
        keep_labels: bool = False,
    ) -> Info: ...
    def close(self) -> None: ...
    def flush(self) -> None: ...
    def tell(self) -> int: ...
    def readable(self) -> bool: ...
    def writable(self) -> bool: ...
    def seekable(self) -> bool: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None: ...


class Provider(Protocol):
    """Bytes out, by digest."""

    def open(self, digest: str) -> Reader:
        """Open a blob for reading; raise `NotFoundError` if there is none."""
        ...

    def read(self, digest: str) -> bytes:
        """Return all bytes of a blob, verified against the digest."""
        ...

    def path(self, digest: str) -> Path:
        """Return the read-only file that holds the bytes; never change that file."""
        ...


class Answers(Iterator[T_co], Protocol[T_co]):
    """The iterator that `Ingester.add_many` returns: it stores each source when it reaches it.

    If the caller drops it before its end it gives a `ResourceWarning`: later sources are not
    stored.
    """

    def close(self) -> None:
        """Stop on purpose; content of answers that were yielded stays stored."""
        ...


class Ingester(Protocol):
    """Bytes in: under a ref, resumable, or in one go."""

    def writer(
        self,
        ref: str,
        *,
        total: int | None = None,
        expected: str | None = None,
        wait: float | bool = False,
        resume: bool = False,
        metadata: Mapping[str, str] | None = None,
    ) -> Writer:
        """Begin the ingest of a ref, or ``resume`` it, and hold the ref until the writer closes.

        Without ``resume`` the bytes and declarations of an earlier try are removed.
        """
        ...

    def ingest(  # noqa: PLR0913 - all but two have a default that fits most
        self,
        ref: str,
        source: Source | Openable,
        *,
        total: int | None = None,
        expected: str | None = None,
        labels: Mapping[str, str] | None = None,
        wait: float | bool = True,
        keep_labels: bool = False,
        metadata: Mapping[str, str] | None = None,
        progress: Progress | None = None,
    ) -> Info:
        """Store a whole source: wait, resume, verify, commit. Already stored is success.

        It resumes from the bytes of an earlier try only if they are of the same content.
        """
        ...

    def add(
        self,
        source: Buffer | Source | PathLike[str],
        *,
        expected: str | None = None,
        labels: Mapping[str, str] | None = None,
        link: Link = "copy",
        keep_labels: bool = False,
    ) -> Info:
        """Store content without a ref. Already stored is success.

        Labels are set, by key, on content already stored too, unless ``keep_labels``. An
        implementation that cannot ``link`` copies.
        """
        ...

    @overload
    def add_many(  # noqa: D418 - a protocol has nothing else to document
        self,
        sources: Iterable[Buffer | Source | PathLike[str]],
        *,
        expected: Iterable[str | None] | None = None,
        labels: Mapping[str, str] | Iterable[Mapping[str, str] | None] | None = None,
        keep_labels: bool = False,
        errors: Literal["raise"] = "raise",
    ) -> Answers[Info]:
        """Store many sources while the caller iterates, sharing the cost of durability.

        The iterator yields an Info for each source, in order, once its blob is durable. The first
        bad source raises after those before it are stored and yielded; with ``errors="yield"``
        its error is yielded in place of its Info.
        """
        ...

    @overload
    def add_many(
        self,
        sources: Iterable[Buffer | Source | PathLike[str]],
        *,
        expected: Iterable[str | None] | None = None,
        labels: Mapping[str, str] | Iterable[Mapping[str, str] | None] | None = None,
        keep_labels: bool = False,
        errors: Literal["yield"],
    ) -> Answers[Info | ContentDBError]: ...


class IngestManager(Protocol):
    """Look at ingests, and drop them."""

    def status(self, ref: str) -> Status:
        """Return the state of an ingest; raise `NotFoundError` if there is none."""
        ...

    def statuses(self, *filters: str) -> Iterator[Status]:
        """Stream the ingests that any of the filters selects, sorted by ref."""
        ...

    def abort(self, ref: str) -> None:
        """Drop an ingest; raise `RefLockedError` while a live writer holds its ref."""
        ...


class Manager(Protocol):
    """Look at blobs, label them and remove them."""

    def info(self, digest: str) -> Info:
        """Return what is known of a blob; raise `NotFoundError` if there is none."""
        ...

    def exists(self, digest: str) -> bool:
        """Return whether the blob is stored and not known to be damaged."""
        ...

    def update(
        self, digest: str, labels: Mapping[str, str], *, fields: Sequence[str] | None = None
    ) -> Info:
        """Replace all labels, or with ``fields=["labels.k"]`` set or remove only these."""
        ...

    def walk(
        self,
        *filters: str,
        labels: Mapping[str, str] | None = None,
        sort: SortOrder = "digest",
        after: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Info]:
        """Stream the blobs that any of the filters selects, as of the start of the walk.

        With ``labels`` only blobs that have all of these are selected. ``after`` is for paging:
        the walk starts behind that digest, in digest order.
        """
        ...

    def delete(self, digest: str) -> None:
        """Remove a blob, durably."""
        ...

    def delete_many(self, digests: Iterable[str], *, missing_ok: bool = False) -> int:
        """Remove blobs durably, sharing the cost of that; return how many were removed.

        Without ``missing_ok`` an absent blob raises, after those before it are removed.
        """
        ...


class Tagger(Protocol):
    """Names for digests, which may move. Not every store has them: see `contentdb.Store.tag`."""

    def tag(
        self,
        name: str,
        digest: str,
        *,
        media_type: str | None = None,
        labels: Mapping[str, str] | None = None,
        if_is: str | Anything | None = ANY,
    ) -> Tag:
        """Let a name stand for a stored blob, durably; raise `NotFoundError` if it is not stored.

        With ``if_is`` the name must stand for that digest now, or with None for nothing; else
        `ConflictError`.
        """
        ...

    def untag(self, name: str, *, if_is: str | Anything = ANY) -> None:
        """Remove a name, durably; the blob stays."""
        ...

    def tagged(self, name: str) -> Tag:
        """Return what a name stands for; raise `NotFoundError` if there is no such tag."""
        ...

    def tags(self, *filters: str, of: str | None = None) -> Iterator[Tag]:
        """Stream the tags that any of the filters selects, by name; ``of`` one digest alone."""
        ...


class Lease(Provider, Ingester, IngestManager, Manager, Tagger, Protocol):
    """A store whose work a lease keeps: collection leaves it alone until the lease ends.

    Each commit, and each answer that content is stored already, adds the blob to the lease in the
    transaction that makes it true; so does `Manager.exists`. Reads add nothing.
    """

    @property
    def id(self) -> str:
        """The lease's name in its namespace."""
        ...

    def describe(self) -> LeaseInfo:
        """Return what is known of the lease; raise `LeaseEndedError` if it has ended."""
        ...

    def keep(self, digest: str) -> bool:
        """Add a blob if it is stored, durably; return whether it is: asked and added at once."""
        ...

    def items(self) -> Iterator[LeaseItem]:
        """Stream what the lease keeps, by kind and name."""
        ...

    def add_item(self, kind: str, name: str) -> None:
        """Add one thing, durably, whether it is there or not."""
        ...

    def drop_item(self, kind: str, name: str) -> None:
        """Let go of one thing, durably; what the lease does not keep is let go of already."""
        ...

    def end(self) -> None:
        """End the lease, durably; nothing happens if it has ended."""
        ...

    def close(self) -> None:
        """End the lease if this object began it, and take no more calls."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None: ...


class Leaser(Protocol):
    """Leases, which keep content that nothing refers to yet. Not every store has them."""

    def lease(
        self,
        *,
        expires: timedelta | None = None,
        lasting: bool = False,
        id: str | None = None,  # noqa: A002 - as containerd calls it
        flat: bool = False,
        labels: Mapping[str, str] | None = None,
    ) -> Lease:
        """Begin a lease, durably; raise `LeaseExistsError` if its id is in use.

        It is held: it lives as long as its process, which may end it before. With ``expires`` it
        lives for that time instead, with ``lasting`` until it is ended.
        """
        ...

    def use_lease(self, id: str) -> Lease:  # noqa: A002 - as above
        """Return a store for the work of a lease that is there; its `close` does not end it."""
        ...

    def leases(self, *filters: str) -> Iterator[LeaseInfo]:
        """Stream the live leases that any of the filters selects, by id."""
        ...

    def end_lease(self, id: str) -> None:  # noqa: A002 - as above
        """End a lease, durably; raise `NotFoundError` if there is none."""
        ...


class Collector(Protocol):
    """Take what nothing keeps any more. Not every store does."""

    def collect(  # noqa: PLR0913 - all have a default that fits most
        self,
        *,
        grace: timedelta | None = None,
        full: bool = False,
        dry_run: bool = False,
        limit: int | None = None,
        ingests: timedelta | None = None,
        no_roots: bool = False,
        max_bytes: int | None = None,
        unused_for: timedelta | None = None,
        filters: Sequence[str] = (),
        progress: Callable[[Collected], object] = lambda _collected: None,
    ) -> Collection:
        """Remove the blobs that nothing keeps; raise `NoRootsError` if nothing says what is wanted.

        With ``max_bytes`` or ``unused_for``, or a policy that has one, only what was not used for
        longest goes.
        """
        ...

    def policy(self) -> Policy | None:
        """Return the policy of the namespace, if it has one."""
        ...

    def set_policy(
        self,
        *,
        grace: timedelta | None = None,
        max_bytes: int | None = None,
        low: float = 0.9,
        unused_for: timedelta | None = None,
        filters: Sequence[str] = (),
    ) -> Policy:
        """Set the policy of the namespace, durably; new content never exceeds its bound."""
        ...

    def clear_policy(self) -> None:
        """Remove the policy, durably; nothing happens if there is none."""
        ...

    def why(self, digest: str) -> tuple[Step, ...]:
        """Return the steps from a blob up to what keeps it; () if nothing does.

        Raise `UndecidedError` if it has too many parents to find out.
        """
        ...

    def queue_status(self) -> QueueStatus:
        """Count what waits for a collection."""
        ...


class ContentStore(Provider, Ingester, IngestManager, Manager, Protocol):
    """All roles in one object, and what else every store can do."""

    @property
    def namespace(self) -> str:
        """The namespace whose blobs and ingests this store sees."""
        ...

    def resolve(self, prefix: str) -> Digest:
        """Return the stored digest with a prefix; raise `AmbiguousDigestError` for several."""
        ...

    def export(self, digest: str, path: str | PathLike[str], *, link: ExportLink = "copy") -> Path:
        """Write a blob to a path of the caller's, verified, whole or not at all."""
        ...

    def usage(self) -> Usage:
        """Count blobs, ingests and their bytes."""
        ...

    def close(self) -> None:
        """Free everything that the store holds; a second call does nothing."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None: ...
