"""What only a store on files has: a root, the options of its opening, and upkeep."""

from __future__ import annotations

from contentdb.engine import Capability, Engine
from contentdb.errors import InvalidArgumentError
from contentdb.light_typing import TYPE_CHECKING, Protocol, cast
from contentdb.store.front import Front

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import Literal

    from contentdb.digest import Digest
    from contentdb.engine import Adopted, AdoptEngine, Pruned, PruneEngine, VerifyEngine
    from contentdb.findings import Action, Finding
    from contentdb.local.resources import Parts
    from contentdb.local.upkeep.reindex import Reindexed
    from contentdb.local.upkeep.repack import Repacked

__all__ = ["Local", "LocalStoreEngine"]


class LocalStoreEngine(Engine, Protocol):
    """The further methods of an engine with `Capability.UPKEEP`."""

    @property
    def root(self) -> Path: ...
    @property
    def durability(self) -> Literal["full", "process"]: ...
    @property
    def sharing(self) -> Literal["isolated", "shared"]: ...
    @property
    def mode(self) -> Literal["rw", "r"]: ...
    def parts(self) -> AbstractContextManager[Parts]: ...
    def reindex(self, *, dry_run: bool) -> Reindexed: ...
    def pack(self, *, dry_run: bool, progress: Callable[[Digest], object]) -> int: ...
    def unpack(self, *, dry_run: bool, progress: Callable[[Digest], object]) -> int: ...
    def repack(self, *, dry_run: bool, progress: Callable[[Repacked], object]) -> int: ...


class Local(Front):
    """Upkeep of a store on files; behind a server each method raises `FailedPreconditionError`."""

    def _local(self, what: str) -> LocalStoreEngine:
        self._require(Capability.UPKEEP, what)
        return cast("LocalStoreEngine", self._engine)

    @property
    def root(self) -> Path:
        """The store's directory, absolute and without symbolic links."""
        return self._local("root").root

    @property
    def durability(self) -> Literal["full", "process"]:
        """Whether changes survive a power cut, or only the death of processes."""
        return self._local("durability").durability

    @property
    def sharing(self) -> Literal["isolated", "shared"]:
        """Whether a digest is enough to store content of other namespaces; see `contentdb.open`."""
        return self._local("sharing").sharing

    @property
    def mode(self) -> Literal["rw", "r"]:
        """Whether the store was opened read-only; see `contentdb.open`."""
        return self._local("mode").mode

    def parts(self) -> AbstractContextManager[Parts]:
        """Lend the parts of the store, kept open during the block; for tools of this package."""
        return self._local("this").parts()

    def verify(self, *, quick: bool = False) -> Iterator[Finding]:
        """Compare all bytes with the rows, changing nothing, and yield each difference.

        Other processes may use the store meanwhile: a file without a row, which another process
        may be about to record, is checked again at the end, for a minute at most; of objects
        without a row only those of dead processes are told. `contentdb.repair` acts on findings.

        Args:
            quick: On files, compare sizes and XXH3-64 checksums. That finds accidental damage at
                many times the speed; only digests also find forged content. In a database, compare
                sizes by listing the objects, and read none.
        """
        return self._verifier("verify").verify(quick=quick)

    def mend(self, finding: Finding, *, dry_run: bool = False) -> Action:
        """Act on one finding of `verify`, as `contentdb.repair` does, and return the action."""
        return self._verifier("repair").mend(finding, dry_run=dry_run)

    def _verifier(self, what: str) -> VerifyEngine:
        self._require(Capability.VERIFY, what)
        return cast("VerifyEngine", self._engine)

    def prune(
        self,
        *,
        older_than: float,
        dry_run: bool = False,
        progress: Callable[[Pruned], object] = lambda _pruned: None,
    ) -> list[Pruned]:
        """Remove what was abandoned, and return a list of it.

        That is: ingests that no writer holds, files without a row and without an ingest, leftovers
        of dead processes, and the trash. Other processes may use the store meanwhile: a file of
        the last minute, which may belong to a running commit, stays while another process has the
        store open.

        In a store in a database the objects of deleted blobs go only now, and readers that opened
        them before ``older_than`` find them gone.

        Args:
            older_than: Remove only what has not changed for this many seconds.
            dry_run: Remove nothing, only list.
            progress: Called with each thing when it is removed.

        Raises:
            InvalidArgumentError: ``older_than`` is not 0 or more seconds.
        """
        given: object = older_than
        if not isinstance(given, int | float) or not given >= 0:
            raise InvalidArgumentError(f"an age is 0 or more seconds, not {older_than!r:.80}")
        self._require(Capability.PRUNE, "prune")
        engine = cast("PruneEngine", self._engine)
        return engine.prune(older_than=older_than, dry_run=dry_run, progress=progress)

    def reindex(self, *, dry_run: bool = False) -> Reindexed:
        """Make the index agree with the files. Durable when it returns; may be repeated.

        A file without a row is read: it gets a row if it matches its name, else it is moved to
        ``quarantine/``. A row without a file is removed. Blobs with both keep their labels. With
        ``dry_run`` nothing is changed, only counted.
        """
        return self._local("reindex").reindex(dry_run=dry_run)

    def adopt(self, *, dry_run: bool = False) -> Adopted:
        """Make blobs of the objects that a restored database does not know; may be repeated.

        Only for a store in a database, after a restore or a failover of it, and before the next
        `prune`, which refuses to run until then. Each object is read and hashed before its blob is
        in this namespace, durably and without labels. Nothing happens in a database that was not
        restored. With ``dry_run`` nothing is changed, only counted.
        """
        self._require(Capability.ADOPT, "adopt")
        return cast("AdoptEngine", self._engine).adopt(dry_run=dry_run)

    def pack(
        self, *, dry_run: bool = False, progress: Callable[[Digest], object] = lambda _digest: None
    ) -> int:
        """Pack the loose blobs of this namespace that are small enough; return how many.

        Durable when it returns, blob by blob; other processes may use the store meanwhile. The
        files go, also those that `path` has named.

        Args:
            dry_run: Change nothing, only count.
            progress: Called with each blob when it is packed.

        Raises:
            FailedPreconditionError: The store was made without packs.
        """
        return self._local("pack").pack(dry_run=dry_run, progress=progress)

    def unpack(
        self, *, dry_run: bool = False, progress: Callable[[Digest], object] = lambda _digest: None
    ) -> int:
        """Give each packed blob of this namespace a file of its own; return how many.

        Durable when it returns, blob by blob; other processes may use the store meanwhile. Content
        that is added later is packed again. Arguments and errors are those of `pack`.
        """
        return self._local("unpack").unpack(dry_run=dry_run, progress=progress)

    def repack(
        self,
        *,
        dry_run: bool = False,
        progress: Callable[[Repacked], object] = lambda _repacked: None,
    ) -> int:
        """Take back the room that deleted blobs have in packs; return how many bytes.

        Durable when it returns, pack by pack; other processes may use the store meanwhile, and the
        packs to which they append are left out. `prune` does the same for packs that are half dead.

        Args:
            dry_run: Change nothing, only count.
            progress: Called with each pack when it is removed.

        Raises:
            FailedPreconditionError: The store was made without packs.
        """
        return self._local("repack").repack(dry_run=dry_run, progress=progress)
