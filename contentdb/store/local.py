"""What only a store on files has: a root, how it was opened, and upkeep."""

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
    """What an engine with `Capability.UPKEEP` does besides."""

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
    """Each method raises `FailedPreconditionError` for a store that is behind a server."""

    def _local(self, what: str) -> LocalStoreEngine:
        self._require(Capability.UPKEEP, what)
        return cast("LocalStoreEngine", self._engine)

    @property
    def root(self) -> Path:
        """The store's directory, absolute and without symbolic links."""
        return self._local("root").root

    @property
    def durability(self) -> Literal["full", "process"]:
        """What an acknowledgement is worth; see `contentdb.open`."""
        return self._local("durability").durability

    @property
    def sharing(self) -> Literal["isolated", "shared"]:
        """Whether content of other namespaces is had by its digest; see `contentdb.open`."""
        return self._local("sharing").sharing

    @property
    def mode(self) -> Literal["rw", "r"]:
        """Whether it was opened to be read only; see `contentdb.open`."""
        return self._local("mode").mode

    def parts(self) -> AbstractContextManager[Parts]:
        """Lend what the store consists of, kept open for the block; for tools of this package."""
        return self._local("this").parts()

    def verify(self, *, quick: bool = False) -> Iterator[Finding]:
        """Compare all files with the index, changing nothing; findings as they come, or none.

        Safe beside any other use of the store: a file without a row that another user may be
        about to record is looked at again in the end, for a minute at most. `contentdb.repair`
        acts on findings.

        Args:
            quick: Compare sizes and XXH3-64 checksums, which finds decay at many times the
                speed; a digest also shows what was forged.
        """
        return self._local("verify").verify(quick=quick)

    def prune(
        self,
        *,
        older_than: float,
        dry_run: bool = False,
        progress: Callable[[Pruned], object] = lambda _pruned: None,
    ) -> list[Pruned]:
        """Remove what was abandoned, and say what that was.

        That is: ingests that no writer holds, files that no row and no ingest knows, leftovers
        of dead processes, and the trash. Safe beside any other use of the store: a file of the
        last minute may be of a commit in flight, and stays while another has the store open.

        Args:
            older_than: Only what has not moved for so many seconds.
            dry_run: Only tell.
            progress: Called with each thing as it goes.
        """
        engine = self._local("prune")
        return engine.prune(older_than=older_than, dry_run=dry_run, progress=progress)

    def reindex(self, *, dry_run: bool = False) -> Reindexed:
        """Bring the index in line with the files: they are the truth. Durable; may be repeated.

        A file without a row is read: it gets one if it matches its name, else it goes to
        ``quarantine/``. A row without a file goes. Labels of what has both stay. With ``dry_run``
        it is only counted.
        """
        return self._local("reindex").reindex(dry_run=dry_run)
