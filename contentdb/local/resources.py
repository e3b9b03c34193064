"""What an open store consists of; opening makes it, and everything above works on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, NoReturn, Protocol

from contentdb.errors import StoreReadOnlyError
from contentdb.local.info_cache import Known, NothingKnown
from contentdb.refs import DEFAULT_NAMESPACE

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from contentdb.digest import Digest
    from contentdb.files import Directory
    from contentdb.local.blobs import Shards
    from contentdb.local.index import Index
    from contentdb.local.root_identity import Place
    from contentdb.local.shared_flags import Sharing

__all__ = ["HasParts", "Options", "Parts"]


class Options(NamedTuple):
    """What a store was opened with."""

    namespace: str = DEFAULT_NAMESPACE
    durable: bool = True
    read_only: bool = False
    shares: bool = False
    """Whether content that another namespace holds need not be sent; see `commit/claim.py`."""


class Parts:
    """The index, the open directories, and how durable an acknowledgement is."""

    __slots__ = ("durable", "in_flight", "index", "ingest", "known", "namespace",
                 "place", "quarantine", "read_only", "root", "shards", "shares", "sharing", "top",
                 "trash")  # fmt: skip

    def __init__(  # noqa: PLR0913 - it is the list of what there is
        self,
        root: Path,
        options: Options,
        *,
        index: Index,
        place: Place,
        sharing: Sharing,
        shards: Shards,
        top: Directory,
        ingest: Directory,
        trash: Directory,
        quarantine: Directory,
    ) -> None:
        self.root = root
        self.namespace, self.durable, self.read_only, self.shares = options
        self.index = index
        self.place = place
        """Tells whether the root was moved or replaced since it was opened."""
        self.sharing = sharing
        self.known = Known() if ingest.group is None else NothingKnown()
        self.in_flight: dict[int, Digest] = {}
        """What calls of this store are naming and recording, by the identity of its candidate."""
        self.shards = shards
        self.top = top
        """The root, by which the other directories are opened again."""
        self.ingest = ingest
        self.trash = trash
        self.quarantine = quarantine

    def refuse_writing(self) -> NoReturn:
        """Say why a store that was opened for reading is not changed."""
        raise StoreReadOnlyError(str(self.root), "it was opened for reading, with mode='r'")

    def after_fork_in_child(self) -> None:
        """Be there as another user of the store than the parent, whose calls go on there alone."""
        self.in_flight = {}
        self.sharing.after_fork_in_child()

    def close(self) -> None:
        """Free all that is open."""
        self.index.close()
        self.sharing.close()
        self.shards.close()
        for directory in (self.ingest, self.trash, self.quarantine, self.top):
            directory.close()


class HasParts(Protocol):
    """An open store, to the tools that work on what it consists of."""

    def parts(self) -> AbstractContextManager[Parts]:
        """Lend the parts, kept open for the block."""
        ...
