"""The parts of an open store: opening makes them, and every module above works on them."""

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
    from contentdb.local.index.index import Index
    from contentdb.local.root_identity import Place
    from contentdb.local.shared_flags import Sharing

__all__ = ["HasParts", "Options", "Parts"]


class Options(NamedTuple):
    """The options that a store was opened with."""

    namespace: str = DEFAULT_NAMESPACE
    durable: bool = True
    read_only: bool = False
    shares: bool = False
    """Whether content that another namespace holds need not be sent; see `commit/claim.py`."""


class Parts:
    """The index, the open directories and the options of an open store."""

    __slots__ = ("durable", "in_flight", "index", "ingest", "known", "namespace",
                 "place", "quarantine", "read_only", "root", "shards", "shares", "sharing", "top",
                 "trash")  # fmt: skip

    def __init__(  # noqa: PLR0913 - the list of all parts
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
        """Checks whether the root was moved or replaced since it was opened."""
        self.sharing = sharing
        self.known = Known() if ingest.group is None else NothingKnown()
        self.in_flight: dict[int, Digest] = {}
        """Digests that calls of this store are naming and recording, by the id of the candidate."""
        self.shards = shards
        self.top = top
        """The root, by which the other directories are opened again."""
        self.ingest = ingest
        self.trash = trash
        self.quarantine = quarantine

    def refuse_writing(self) -> NoReturn:
        """Raise: the store was opened for reading."""
        raise StoreReadOnlyError(str(self.root), "it was opened for reading, with mode='r'")

    def after_fork_in_child(self) -> None:
        """Become a user of the store apart from the parent, whose calls do not go on here."""
        self.in_flight = {}
        self.sharing.after_fork_in_child()

    def close(self) -> None:
        """Close everything that is open."""
        self.index.close()
        self.sharing.close()
        self.shards.close()
        for directory in (self.ingest, self.trash, self.quarantine, self.top):
            directory.close()


class HasParts(Protocol):
    """An open store, for tools that work on its parts."""

    def parts(self) -> AbstractContextManager[Parts]:
        """Lend the parts, kept open for the block."""
        ...
