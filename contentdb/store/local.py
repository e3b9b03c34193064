"""What only a store on files has: a root, the options of its opening, and upkeep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, cast

from contentdb.engine import Capability, Engine
from contentdb.store.front import Front

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from contentdb.local.resources import Parts
    from contentdb.local.upkeep.prune import Pruned
    from contentdb.local.upkeep.reindex import Reindexed
    from contentdb.local.upkeep.verify import Finding

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
    def verify(self, *, quick: bool) -> Iterator[Finding]: ...
    def prune(
        self, *, older_than: float, dry_run: bool, progress: Callable[[Pruned], object]
    ) -> list[Pruned]: ...
    def reindex(self, *, dry_run: bool) -> Reindexed: ...


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
        """Compare all files with the index, changing nothing, and yield each difference.

        Other processes may use the store meanwhile: a file without a row, which another process
        may be about to record, is checked again at the end, for a minute at most.
        `contentdb.repair` acts on findings.

        Args:
            quick: Compare sizes and XXH3-64 checksums. That finds accidental damage at many times
                the speed; only digests also find forged content.
        """
        return self._local("verify").verify(quick=quick)

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

        Args:
            older_than: Remove only what has not changed for this many seconds.
            dry_run: Remove nothing, only list.
            progress: Called with each thing when it is removed.
        """
        engine = self._local("prune")
        return engine.prune(older_than=older_than, dry_run=dry_run, progress=progress)

    def reindex(self, *, dry_run: bool = False) -> Reindexed:
        """Make the index agree with the files. Durable when it returns; may be repeated.

        A file without a row is read: it gets a row if it matches its name, else it is moved to
        ``quarantine/``. A row without a file is removed. Blobs with both keep their labels. With
        ``dry_run`` nothing is changed, only counted.
        """
        return self._local("reindex").reindex(dry_run=dry_run)
