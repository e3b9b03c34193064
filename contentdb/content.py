"""The contract: what a content store holds and does. This file is the whole design.

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
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Literal,
    NamedTuple,
    Protocol,
    Self,
    TypeVar,
    overload,
)

from contentdb.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from os import PathLike
    from pathlib import Path
    from types import TracebackType
    from typing import BinaryIO

    from typing_extensions import Buffer

    from contentdb.errors import ContentDBError

__all__ = [
    "Answers",
    "ContentStore",
    "ExportLink",
    "Info",
    "IngestManager",
    "Ingester",
    "Link",
    "Manager",
    "Openable",
    "Progress",
    "Provider",
    "Reader",
    "SortOrder",
    "Source",
    "Status",
    "Usage",
    "Writer",
]

T_co = TypeVar("T_co", covariant=True)

SortOrder = Literal[
    "digest", "-digest", "size", "-size", "created_at", "-created_at", "updated_at", "-updated_at"
]
"""The order of a walk; ``-`` means descending."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NO_LABELS: Final[Mapping[str, str]] = MappingProxyType({})
_NO_METADATA: Final[Mapping[str, str]] = {}  # no proxy: a Status is pickled as it is


def _moment(ns: int) -> datetime:
    """Convert nanoseconds since the epoch to an aware UTC time, cut to microseconds."""
    return _EPOCH + timedelta(microseconds=ns // 1000)


class Info(tuple[str, int, int, int, "Mapping[str, str] | None"]):
    """What is known of a blob: digest, size, times, labels. Two are equal if all of these are.

    It is a tuple so that a listing can make hundreds of thousands a second. Use the attributes:
    the order of the items is not part of the contract.
    """

    __slots__ = ()

    def __new__(
        cls,
        digest: str,
        size: int,
        created_ns: int,
        updated_ns: int,
        labels: Mapping[str, str] | None = None,
    ) -> Self:
        """Times are integer nanoseconds since the epoch."""
        return tuple.__new__(cls, (digest, size, created_ns, updated_ns, labels or None))

    @property
    def digest(self) -> Digest:
        """The blob's address."""
        return Digest(self[0])

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self[1]

    @property
    def created_at(self) -> datetime:
        """When the blob was committed, in UTC. Never changes."""
        return _moment(self[2])

    @property
    def updated_at(self) -> datetime:
        """When the blob's labels last changed, in UTC."""
        return _moment(self[3])

    @property
    def created_ns(self) -> int:
        """`created_at` in nanoseconds since the epoch."""
        return self[2]

    @property
    def updated_ns(self) -> int:
        """`updated_at` in nanoseconds since the epoch."""
        return self[3]

    @property
    def labels(self) -> Mapping[str, str]:
        """The blob's labels, read-only; change them with `Manager.update`."""
        labels = self[4]
        return _NO_LABELS if labels is None else MappingProxyType(dict(labels))

    @property
    def new(self) -> bool:
        """Whether the call that returned this Info stored content that was not there before.

        False in every Info of a call that stores nothing. Comparing ignores it.
        """
        return False

    def asdict(self) -> dict[str, Any]:
        """Return a dict of ``digest``, ``size``, ``created_at``, ``updated_at`` and ``labels``.

        Times are `datetime`, labels a new dict. JSON can encode all values but the times.
        """
        return {
            "digest": self.digest,
            "size": self.size,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "labels": dict(self[4] or {}),
        }

    def __getnewargs__(self) -> tuple[str, int, int, int, Mapping[str, str] | None]:
        """Return the five values that pickle and copy make a new Info from."""
        return (self[0], self[1], self[2], self[3], self[4])

    def __repr__(self) -> str:
        """Show the digest, the size, the time of the commit and the labels."""
        labels = f", labels={dict(self.labels)}" if self[4] else ""
        created = f"{self.created_at:%Y-%m-%dT%H:%M:%SZ}"
        new = ", new=True" if self.new else ""
        return f"Info({self[0]}, size={self[1]}, created_at={created}{labels}{new})"


class NewInfo(Info):
    """The Info that a call returns for content that it stored and that was not there before."""

    __slots__ = ()

    @classmethod
    def of(cls, info: Info) -> Self:
        """Make a NewInfo that equals an Info."""
        return tuple.__new__(cls, info)

    def known(self) -> Info:
        """Return the equal Info whose ``new`` is False."""
        return tuple.__new__(Info, self)

    @property
    def new(self) -> bool:
        """Always True."""
        return True


class Status(NamedTuple):
    """The state of an ingest. What is unknown is None."""

    ref: str
    offset: int
    """Bytes that have reached the file."""
    total: int | None
    """Declared size in bytes."""
    expected: Digest | None
    """Declared digest."""
    started_ns: int
    updated_ns: int
    held: bool
    """Whether a live writer holds the ref now."""
    metadata: Mapping[str, str] = _NO_METADATA
    """What the caller stored with the ingest, such as the ETag of its source."""

    def __hash__(self) -> int:
        """Hash all but the metadata: a mapping has no hash."""
        return hash(self[:7])

    @property
    def started_at(self) -> datetime:
        """When the ingest began, in UTC; a resume does not move it."""
        return _moment(self.started_ns)

    @property
    def updated_at(self) -> datetime:
        """When bytes last arrived, in UTC."""
        return _moment(self.updated_ns)


class Usage(NamedTuple):
    """Counts and bytes, from the index alone."""

    blobs: int
    blob_bytes: int
    ingests: int
    ingest_bytes: int
    """As of each ingest's last close; bytes that a live writer has added since do not count."""


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
