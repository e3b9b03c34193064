"""Upkeep of a store: verify changes nothing, prune and reindex act."""

from __future__ import annotations

import time

from contentdb.errors import FailedPreconditionError
from contentdb.light_typing import TYPE_CHECKING, TypeVar
from contentdb.local.disk_reserve import make_room
from contentdb.local.engine.lifecycle import Lifecycle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final

    from contentdb.digest import Digest
    from contentdb.engine import Pruned
    from contentdb.findings import Action, Finding
    from contentdb.local.resources import Parts
    from contentdb.local.upkeep.reindex import Reindexed
    from contentdb.local.upkeep.repack import Repacked

__all__ = ["LookAfter"]

T = TypeVar("T")
_END: Final = object()


class LookAfter(Lifecycle):
    """The operator's calls; the work of each is in the module of its name."""

    def verify(self, *, quick: bool) -> Iterator[Finding]:
        """Compare all files with the index, changing nothing; the store stays open meanwhile."""
        from contentdb.local.upkeep.verify import verify

        return self._run_steps(verify(self._parts, quick=quick))

    def mend(self, finding: Finding, *, dry_run: bool) -> Action:
        """Act on a finding after another check of it."""
        from contentdb.local.upkeep.repair import act_on

        with self._gate:
            if self._parts.read_only and not dry_run:
                self._parts.refuse_writing()
            return act_on(self._parts, finding, dry_run=dry_run)

    def prune(
        self,
        *,
        older_than: float,
        dry_run: bool,
        progress: Callable[[Pruned], object],
    ) -> list[Pruned]:
        """Remove what was abandoned, and return a list of it."""
        from contentdb.local.upkeep.prune import prune

        if not dry_run:
            make_room(self._parts.root)
        pruned = []
        for one in self._run_steps(prune(self._parts, older_than_s=older_than, dry_run=dry_run)):
            pruned.append(one)
            progress(one)
        return pruned

    def pack(self, *, dry_run: bool, progress: Callable[[Digest], object]) -> int:
        """Pack what is loose and small enough; return how many blobs that were."""
        from contentdb.local.upkeep.pack import pack_loose

        return self._count_steps(pack_loose(self._packing(), dry_run=dry_run), progress)

    def unpack(self, *, dry_run: bool, progress: Callable[[Digest], object]) -> int:
        """Give each packed blob a file; return how many blobs that were."""
        from contentdb.local.upkeep.pack import unpack_all

        return self._count_steps(unpack_all(self._packing(), dry_run=dry_run), progress)

    def repack(self, *, dry_run: bool, progress: Callable[[Repacked], object]) -> int:
        """Take back the room of what was deleted; return how many bytes that were."""
        from contentdb.local.upkeep.repack import repack

        size = 0
        for one in self._run_steps(repack(self._packing(), dead_share=0, dry_run=dry_run)):
            size += one.size
            progress(one)
        return size

    def _packing(self) -> Parts:
        with self._gate:
            if self._parts.packs is None:
                raise FailedPreconditionError(
                    f"the store at {self._parts.root} was made without packs; "
                    "`contentdb init --pack-below 32KiB` makes one with"
                )
            return self._parts

    def _count_steps(self, steps: Iterator[Digest], progress: Callable[[Digest], object]) -> int:
        count = 0
        for digest in self._run_steps(steps):
            count += 1
            progress(digest)
        return count

    def reindex(self, *, dry_run: bool) -> Reindexed:
        """Bring the index in line with the files."""
        from contentdb.local.upkeep.reindex import reindex_parts

        with self._gate:
            return reindex_parts(self._parts, dry_run=dry_run)

    def _run_steps(self, steps: Iterator[T | None]) -> Iterator[T]:
        """Yield results; keep the store open during a step, but not while the caller works."""
        with self._gate:
            pass
        return self._yield_steps(steps)

    def _yield_steps(self, steps: Iterator[T | None]) -> Iterator[T]:
        while True:
            with self._gate:
                step = next(steps, _END)
            if step is _END:
                return
            if step is None:
                from contentdb.local.upkeep.doubts import POLL_S

                time.sleep(POLL_S)
            else:
                yield step  # type: ignore[misc]  # the end was seen above
