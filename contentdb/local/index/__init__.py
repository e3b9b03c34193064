"""The index of blobs and ingests in SQLite, and the values that its rooms give and take."""

from __future__ import annotations

from contentdb.digest import Digest
from contentdb.light_typing import TYPE_CHECKING, Enum, NamedTuple, Protocol
from contentdb.values import Status

if TYPE_CHECKING:
    from contentdb.declared import Declared
    from contentdb.labels import Labelling

__all__ = [
    "Blob",
    "Entry",
    "FileTime",
    "IngestRow",
    "LeaseKey",
    "LeaseRow",
    "Location",
    "Outcome",
    "State",
    "Tombstone",
]


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


class Location(NamedTuple):
    """Where a packed blob's record begins."""

    pack: int
    offset: int
    """Bytes."""


class Blob(NamedTuple):
    """A row of a blob, whatever its state."""

    size: int
    checksum: int
    created_ns: int
    updated_ns: int
    state: int
    pack: int | None = None
    """None for a loose blob."""
    offset: int | None = None
    review_ns: int | None = None
    """When a collector looks at it; None if no collector need look."""

    @property
    def location(self) -> Location | None:
        """Where the record of a packed blob begins; None for a loose one."""
        return None if self.pack is None else Location(self.pack, self.offset or 0)


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

    @property
    def declared(self) -> Declared:
        """What its writers have declared."""
        from contentdb.declared import Declared  # a look at a blob need not spend that

        expected = None if self.expected is None else Digest(self.expected)
        return Declared(self.total, expected, self.metadata)

    def status(self, offset: int, updated_ns: int, *, held: bool) -> Status:
        """Return the Status of the ingest, whose file and lock tell what is given."""
        from contentdb.metadata import unpack_metadata  # as above

        total, expected, metadata = self.declared
        described = unpack_metadata(metadata)
        return Status(
            self.ref, offset, total, expected, self.started_ns, updated_ns, held, described
        )


class LeaseKey(NamedTuple):
    """Which lease it is: another one may get the same id later."""

    id: str
    created_ns: int


class LeaseRow(NamedTuple):
    """A row of a lease."""

    id: str
    created_ns: int
    expires_ns: int | None
    """0 once it was ended, until its items are let go of."""
    flat: int
    file: str | None
    """In ``ingest/``; its lock shows that the process of a held lease lives."""
    holder: str | None
    """That process, for messages."""

    @property
    def key(self) -> LeaseKey:
        """Which lease it is."""
        return LeaseKey(self.id, self.created_ns)


class Tombstone(NamedTuple):
    """A delete that was begun, and is on disk."""

    digest: Digest
    updated_ns: int
    """The row's, which tells it from a later delete of the same blob."""
    location: Location | None = None
    """Where its record is, if it is packed."""


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

    location: Location | None
    """Where its record is, if it is packed; the record is on disk already."""

    lease: LeaseKey | None
    """The lease that keeps the blob from the transaction on that records it."""

    reserved: str | None
    """The reservation that becomes the blob's bytes in the transaction that records it."""

    @property
    def labelling(self) -> Labelling: ...

    def present(self) -> bool:
        """Return whether the blob's file still has its name and size; one stat."""
        ...

    def has_content(self, blob: Blob) -> bool:
        """Return whether the file or the pack of a live row is there, its bytes not read."""
        ...

    def end_record(self, location: Location, *, is_elsewhere: bool) -> None:
        """Mark the record that an earlier blob of this content had, on disk.

        Args:
            location: Where it is.
            is_elsewhere: Whether another namespace has the blob.
        """
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
