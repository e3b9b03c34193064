"""The contract: what a content store holds and does. Reading this file tells the whole design.

A **blob** is committed content, addressed by the digest of its bytes and never changed. An
**ingest** is content on its way in, keyed by a **ref** that its caller chose, and invisible
to every read of blobs. The life of content: a `Writer` begins or resumes an ingest under a
lock, bytes are written, and `commit` turns it, verified and durable, into a blob. From then
on a `Provider` serves its bytes and a `Manager` its `Info`, until `delete`.

The roles are small on purpose: a function that only reads asks for a `Provider`, not for a
store. `contentdb.Store` plays all of them.
"""

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
"""Of a walk; ``-`` is for descending."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NO_LABELS: Final[Mapping[str, str]] = MappingProxyType({})
_NO_METADATA: Final[Mapping[str, str]] = {}  # no proxy: a Status is pickled as it is


def _moment(ns: int) -> datetime:
    """Give integer nanoseconds since the epoch as an aware UTC time, cut to microseconds."""
    return _EPOCH + timedelta(microseconds=ns // 1000)


class Info(tuple[str, int, int, int, "Mapping[str, str] | None"]):
    """What is known of a blob. A value: comparing two compares all that they say.

    It is a tuple underneath so that a listing can make hundreds of thousands a second;
    use the attributes, the order of the items is no part of the contract.
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
        """When it was committed, in UTC. Never changes."""
        return _moment(self[2])

    @property
    def updated_at(self) -> datetime:
        """When its labels last changed, in UTC."""
        return _moment(self[3])

    @property
    def created_ns(self) -> int:
        """`created_at` to the nanosecond, since the epoch."""
        return self[2]

    @property
    def updated_ns(self) -> int:
        """`updated_at` to the nanosecond, since the epoch."""
        return self[3]

    @property
    def labels(self) -> Mapping[str, str]:
        """Read-only; change them with `Manager.update`."""
        labels = self[4]
        return _NO_LABELS if labels is None else MappingProxyType(dict(labels))

    @property
    def new(self) -> bool:
        """Whether the call that returned this stored content that was not there.

        False on every Info of another call. It takes no part in comparing.
        """
        return False

    def asdict(self) -> dict[str, Any]:
        """Give what the attributes say, times as `datetime` and labels as a dict of their own.

        Under ``digest``, ``size``, ``created_at``, ``updated_at`` and ``labels``; all but the
        times is what JSON takes.
        """
        return {
            "digest": self.digest,
            "size": self.size,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "labels": dict(self[4] or {}),
        }

    def __getnewargs__(self) -> tuple[str, int, int, int, Mapping[str, str] | None]:
        """Pickle and copy as the five values."""
        return (self[0], self[1], self[2], self[3], self[4])

    def __repr__(self) -> str:
        """Show what a person asks first."""
        labels = f", labels={dict(self.labels)}" if self[4] else ""
        created = f"{self.created_at:%Y-%m-%dT%H:%M:%SZ}"
        new = ", new=True" if self.new else ""
        return f"Info({self[0]}, size={self[1]}, created_at={created}{labels}{new})"


class NewInfo(Info):
    """The Info that a call returns for content that it stored, and that was not there."""

    __slots__ = ()

    @classmethod
    def of(cls, info: Info) -> Self:
        """Make it from what any other call would return; the two are equal."""
        return tuple.__new__(cls, info)

    def known(self) -> Info:
        """Make of it what any other call would return."""
        return tuple.__new__(Info, self)

    @property
    def new(self) -> bool:
        """Always."""
        return True


class Status(NamedTuple):
    """How far an ingest has come. Unknown is None."""

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
    """What the caller noted with it: an ETag of the source, say."""

    def __hash__(self) -> int:
        """By all but the metadata, which a mapping has no hash of."""
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
    """As of each ingest's last close; what a live writer has added since is not in it."""


Link = Literal["reflink", "hardlink", "copy", "move"]
"""How the bytes of a file get in: its blocks, the file itself, a copy; ``move`` also removes it."""

ExportLink = Literal["reflink", "hardlink", "copy"]
"""How a blob gets into a file of the caller's."""


class Source(Protocol):
    """What content can come from: a binary file, a pipe, a member of an archive, a `Reader`."""

    def read(self, size: int, /) -> bytes | None:
        """Give up to ``size`` bytes, none at the end; None, for nothing yet, is an error."""
        ...


if TYPE_CHECKING:

    class _BinaryStream(io.RawIOBase, BinaryIO):
        """A raw stream to type checkers too, for functions that ask for an ``IO[bytes]``."""
else:
    _BinaryStream = io.RawIOBase


class Reader(_BinaryStream):
    """A seekable binary stream over one blob that knows its digest and size.

    Bytes read from the beginning to the end are verified: the read that reaches the end
    raises `CorruptBlobError` instead of handing out a damaged tail. Reads after a seek are
    not verified. It goes on reading when the blob is deleted meanwhile.
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
        """Read up to so many bytes; all that is left for None or a negative size."""

    @abstractmethod
    def readinto(self, buffer: Buffer, /) -> int:
        """Read into a buffer; 0 at the end."""


class Openable(Protocol):
    """What opens content at an offset, such as by a Range request; 0 is its beginning."""

    def __call__(self, offset: int, /) -> Source:
        """Open it; what is returned is closed after its use, if it can be."""
        ...


class Progress(Protocol):
    """Is told how far a source has been taken in."""

    def __call__(self, done: int, total: int | None, /) -> object:
        """So many bytes are in, of a ``total`` if that is known; what it raises stops the call."""
        ...


class Writer(Protocol):
    """One ingest, held. Leaving its ``with`` block closes it and keeps what was written.

    It is a binary file to what only writes on: closing that closes the writer.
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
        """Open for reading; `NotFoundError` when absent."""
        ...

    def read(self, digest: str) -> bytes:
        """All bytes, verified against the digest."""
        ...

    def path(self, digest: str) -> Path:
        """The read-only file that holds the bytes; not to be changed."""
        ...


class Answers(Iterator[T_co], Protocol[T_co]):
    """What `Ingester.add_many` gives for its sources, in their order; it stores as it goes.

    Dropped before its end it gives a `ResourceWarning`: what it did not reach is not stored.
    """

    def close(self) -> None:
        """End it on purpose; what was yielded stays."""
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
        """Begin the ingest of a ref, or ``resume`` it, holding it until the writer closes.

        Without ``resume`` nothing is left of an earlier try.
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
        """Take a whole source in: wait, resume, verify, commit. Already stored is success.

        What an earlier try left is gone on with if it is of the same content, and no other.
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
        """Store content without a ref, whether it was there already or not.

        Labels are set on stored content too, by key, unless ``keep_labels``. What an
        implementation cannot ``link`` it copies.
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
        """Store many as it is iterated, sharing the cost of durability.

        An Info comes for each source, in order, durable when it is yielded. The first bad source
        raises once those before it are stored and yielded; with ``errors="yield"`` its error
        comes in the place of its Info.
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
    """What is coming in."""

    def status(self, ref: str) -> Status:
        """One ingest; `NotFoundError` when absent."""
        ...

    def statuses(self, *filters: str) -> Iterator[Status]:
        """Those that any of the filters selects, by ref."""
        ...

    def abort(self, ref: str) -> None:
        """Drop an ingest; `RefLockedError` while a live writer holds it."""
        ...


class Manager(Protocol):
    """What is there."""

    def info(self, digest: str) -> Info:
        """What is known of a blob; `NotFoundError` when absent."""
        ...

    def exists(self, digest: str) -> bool:
        """Whether the blob is stored and not known to be damaged."""
        ...

    def update(
        self, digest: str, labels: Mapping[str, str], *, fields: Sequence[str] | None = None
    ) -> Info:
        """Replace all labels, or with ``fields=["labels.k"]`` set or remove just those."""
        ...

    def walk(
        self,
        *filters: str,
        labels: Mapping[str, str] | None = None,
        sort: SortOrder = "digest",
        after: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Info]:
        """Stream those that any of the filters selects, as of the start of the walk.

        Of these, ``labels`` selects those that have all of them. ``after`` pages: it starts
        behind that digest, in digest order.
        """
        ...

    def delete(self, digest: str) -> None:
        """Remove a blob, durably."""
        ...

    def delete_many(self, digests: Iterable[str], *, missing_ok: bool = False) -> int:
        """Remove blobs, durably, sharing the cost of that; how many there were.

        Without ``missing_ok`` one that is absent raises, once those before it are removed.
        """
        ...


class ContentStore(Provider, Ingester, IngestManager, Manager, Protocol):
    """All roles in one object, and what every store can do besides."""

    @property
    def namespace(self) -> str:
        """Whose blobs and ingests are seen."""
        ...

    def resolve(self, prefix: str) -> Digest:
        """Return the stored digest that begins so; `AmbiguousDigestError` if several do."""
        ...

    def export(self, digest: str, path: str | PathLike[str], *, link: ExportLink = "copy") -> Path:
        """Write a blob to a path of the caller's, verified, whole or not at all."""
        ...

    def usage(self) -> Usage:
        """Count blobs, ingests and their bytes."""
        ...

    def close(self) -> None:
        """Free what it holds; twice is harmless."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None: ...
