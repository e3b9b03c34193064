"""The parts of an open store: opening makes them, and every module above works on them."""

from __future__ import annotations

from contentdb.errors import StoreReadOnlyError
from contentdb.light_typing import TYPE_CHECKING, NamedTuple
from contentdb.local.index.grace import Met
from contentdb.local.info_cache import Known, NothingKnown
from contentdb.local.quota import Quota
from contentdb.refs import DEFAULT_NAMESPACE

if TYPE_CHECKING:
    from typing import NoReturn

    from contentdb.digest import Digest
    from contentdb.files import Directory
    from contentdb.local.blobs import Shards
    from contentdb.local.index import LeaseKey
    from contentdb.local.index.index import Index
    from contentdb.local.packs.append import Appender
    from contentdb.local.packs.directory import PackDirectory
    from contentdb.local.root_identity import Place
    from contentdb.local.shared_flags import Sharing

__all__ = ["Options", "Parts"]


class Options(NamedTuple):
    """The options that a store was opened with."""

    namespace: str = DEFAULT_NAMESPACE
    durable: bool = True
    read_only: bool = False
    shares: bool = False
    """Whether content that another namespace holds need not be sent; see `commit/claim.py`."""
    pack_below: int | None = None
    """For a new store: the size in bytes below which blobs are packed. None takes any store as
    it is."""


class Parts:
    """The index, the open directories and the options of an open store."""

    __slots__ = ("appender", "durable", "in_flight", "index", "ingest", "known", "lease", "met",
                 "namespace", "packs", "place", "quarantine", "quota", "read_only", "root",
                 "shards", "shares", "sharing", "top", "trash")  # fmt: skip

    def __init__(  # noqa: PLR0913 - the list of all parts
        self,
        root: str,
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
        packs: PackDirectory | None = None,
        appender: Appender | None = None,
    ) -> None:
        self.root = root
        self.namespace, self.durable, self.read_only, self.shares, _ = options
        self.index = index
        self.place = place
        """Checks whether the root was moved or replaced since it was opened."""
        self.sharing = sharing
        self.known = Known() if ingest.group is None else NothingKnown()
        self.met = Met()
        self.quota = Quota()
        self.lease: LeaseKey | None = None
        """The lease that keeps what is stored or found through these parts."""
        self.in_flight: dict[int, Digest] = {}
        """Digests that calls of this store are naming and recording, by the id of the candidate."""
        self.shards = shards
        self.top = top
        """The root, by which the other directories are opened again."""
        self.ingest = ingest
        self.trash = trash
        self.quarantine = quarantine
        self.packs = packs
        """The packs of small blobs; None in a store where every blob has a file."""
        self.appender = appender
        """None if `packs` is, or if the store is only read."""

    def of_lease(self, lease: LeaseKey) -> Parts:
        """Return the same parts, bound to a lease; only these here are to be closed."""
        from copy import copy  # few commands name a lease

        made = copy(self)
        made.lease, made.met = lease, Met()
        return made

    def packs_up(self, size: int) -> bool:
        """Return whether new content of that size goes into a pack."""
        return self.appender is not None and self.packs is not None and size < self.packs.below

    def refuse_writing(self) -> NoReturn:
        """Raise: the store was opened for reading."""
        raise StoreReadOnlyError(self.root, "it was opened for reading, with mode='r'")

    def after_fork_in_child(self) -> None:
        """Become a user of the store apart from the parent, whose calls do not go on here."""
        self.in_flight.clear()  # the dict is that of all parts bound to leases, too
        if self.appender is not None:
            self.appender.after_fork_in_child()
        if self.packs is not None:
            self.packs.after_fork_in_child()
        self.quota.after_fork_in_child()
        self.sharing.after_fork_in_child()

    def close(self) -> None:
        """Close everything that is open."""
        if self.appender is not None:
            self.appender.let_go()
        if self.packs is not None:
            self.packs.close()
        self.quota.close(self.ingest)
        self.index.close()
        self.sharing.close()
        self.shards.close()
        for directory in (self.ingest, self.trash, self.quarantine, self.top):
            directory.close()
