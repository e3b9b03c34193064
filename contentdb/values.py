"""The values of the contract: what is known of a blob, an ingest, a tag, a lease, a collection.

They are `contentdb.content`'s, and stand apart from its protocols, which each command would
otherwise import.
"""

# Long: they are the values of one contract, most of them a handful of lines.

from __future__ import annotations

from types import MappingProxyType

from contentdb.digest import Digest
from contentdb.light_typing import TYPE_CHECKING, Enum, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta
    from typing import Any, Final, Literal, Self

__all__ = [
    "ANY",
    "Anything",
    "Collected",
    "Collection",
    "Info",
    "LeaseInfo",
    "LeaseItem",
    "NewInfo",
    "Policy",
    "QueueStatus",
    "Status",
    "Step",
    "Tag",
    "Usage",
]

_NO_LABELS: Final[Mapping[str, str]] = MappingProxyType({})
_NO_METADATA: Final[Mapping[str, str]] = {}  # no proxy: a Status is pickled as it is


def _moment(ns: int) -> datetime:
    """Convert nanoseconds since the epoch to an aware UTC time, cut to microseconds."""
    from datetime import UTC, datetime, timedelta  # 1 ms, and few commands show a time so

    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ns // 1000)


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


class Tag(NamedTuple):
    """A name for a digest."""

    name: str
    digest: Digest
    """What the name stands for; the blob may have been removed since."""
    media_type: str | None
    size: int | None
    """Length of the blob in bytes, if it was known when the name was given."""
    created_ns: int
    updated_ns: int
    labels: Mapping[str, str] = _NO_METADATA

    def __hash__(self) -> int:
        """Hash all but the labels: a mapping has no hash."""
        return hash(self[:6])

    @property
    def created_at(self) -> datetime:
        """When the name was first given, in UTC; a move does not change it."""
        return _moment(self.created_ns)

    @property
    def updated_at(self) -> datetime:
        """When the tag last changed, in UTC."""
        return _moment(self.updated_ns)


class LeaseItem(NamedTuple):
    """One thing that a lease keeps."""

    kind: str
    """``content`` for a blob, ``ingest`` for an ingest; others mean nothing to this library."""
    name: str
    """The digest of a blob, the ref of an ingest; it need not be there."""


class LeaseInfo(NamedTuple):
    """What is known of a lease."""

    id: str
    created_ns: int
    expires_ns: int | None
    """When it ends by itself; None if no time ends it."""
    flat: bool
    """Whether it keeps its items alone, and not what they refer to."""
    holder: str | None
    """The process of a held lease, which ends with it; None if no process holds it."""
    labels: Mapping[str, str] = _NO_METADATA

    def __hash__(self) -> int:
        """Hash all but the labels: a mapping has no hash."""
        return hash(self[:5])

    @property
    def created_at(self) -> datetime:
        """When it began, in UTC."""
        return _moment(self.created_ns)

    @property
    def expires_at(self) -> datetime | None:
        """When it ends by itself, in UTC, if a time ends it."""
        return None if self.expires_ns is None else _moment(self.expires_ns)


class Step(NamedTuple):
    """One step of the way from a blob up to what keeps it."""

    kind: Literal["content", "tag", "lease", "label", "ingest", "fresh", "old"]
    """``content`` for a blob; the last step is one of the others."""
    name: str
    """A digest, a tag, the id of a lease, the key of a label, a ref; for ``fresh`` the time at
    which that ends, for ``old`` that at which it was stored, in nanoseconds since the epoch. An old
    blob was stored before there was a queue, and only a full collection asks what keeps it."""
    by: str | None = None
    """Of a blob but the first: the key of the label by which it and the one before are joined."""


class Collected(NamedTuple):
    """A blob that a collection took, or would."""

    digest: Digest
    size: int


class Collection(NamedTuple):
    """What a collection did."""

    blobs: int
    """How many blobs it took, or would."""
    bytes: int
    kept: int
    """How many blobs it looked at that something keeps."""
    undecided: int
    """How many have so many parents that it was not found out; a later run decides."""
    ingests: int
    """How many abandoned ingests it dropped, or would."""
    begins_ns: int | None
    """Not None if it took nothing, as it is too early: the first collection or policy of a store
    begins the grace of all that was there. From this time on it takes."""


class QueueStatus(NamedTuple):
    """What waits for a collection."""

    queued: int
    """Blobs that it will look at some time."""
    due: int
    """Those that it would look at now."""
    oldest_due_ns: int | None
    """Since when the oldest of these waits."""
    leases: int
    """Live leases."""
    begins_ns: int | None
    """From when on a collection takes anything; None before the store's first collection or
    policy."""
    bytes: int | None = None
    """Bytes of all blobs, in a namespace with a bound; else None."""
    reserved: int | None = None
    """Bytes of the bound that are kept for content on its way in; None without a bound."""


class Policy(NamedTuple):
    """What a namespace keeps of content that nothing refers to; every process goes by it."""

    grace: timedelta | None = None
    """How long content stays after the last answer that it is stored; None: a day."""
    max_bytes: int | None = None
    """Bytes of blobs, and of content on its way in, that there may be together; None: any number.
    """
    low_bytes: int | None = None
    """Down to so many a collection goes that makes room."""
    unused_for: timedelta | None = None
    """Content goes that was not used for so long; None: only the bound takes it."""
    filters: tuple[str, ...] = ()
    """Only blobs may go that any of these selects; () selects all."""


class Anything(Enum):
    """The type of `ANY`."""

    ANY = "any"


ANY: Final = Anything.ANY
"""As ``if_is``: whatever the name stands for now, or nothing."""


class Usage(NamedTuple):
    """Counts and bytes, from the index alone."""

    blobs: int
    blob_bytes: int
    ingests: int
    ingest_bytes: int
    """As of each ingest's last close; bytes that a live writer has added since do not count."""
