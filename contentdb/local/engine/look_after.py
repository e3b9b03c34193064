"""Upkeep of a store: verify changes nothing, prune and reindex act."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, TypeVar

from contentdb.local.disk_reserve import make_room
from contentdb.local.engine.lifecycle import Lifecycle
from contentdb.local.upkeep.doubts import POLL_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from contentdb.local.upkeep.prune import Pruned
    from contentdb.local.upkeep.reindex import Reindexed
    from contentdb.local.upkeep.verify import Finding

__all__ = ["LookAfter"]

T = TypeVar("T")
_END: Final = object()


class LookAfter(Lifecycle):
    """The operator's calls; the work of each is in the module of its name."""

    def verify(self, *, quick: bool) -> Iterator[Finding]:
        """Compare all files with the index, changing nothing; the store stays open meanwhile."""
        from contentdb.local.upkeep.verify import verify

        return self._run_steps(verify(self._parts, quick=quick))

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
            make_room(str(self.root))
        pruned = []
        for one in self._run_steps(prune(self._parts, older_than_s=older_than, dry_run=dry_run)):
            pruned.append(one)
            progress(one)
        return pruned

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
                time.sleep(POLL_S)
            else:
                yield step  # type: ignore[misc]  # the end was seen above
