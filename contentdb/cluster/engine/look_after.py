"""Upkeep of the store: verify and mend, remove what was abandoned, adopt what is not known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentdb.cluster.engine.lifecycle import Lifecycle
from contentdb.cluster.upkeep.adopt import adopt
from contentdb.cluster.upkeep.mend import mend
from contentdb.cluster.upkeep.prune import prune
from contentdb.cluster.upkeep.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from contentdb.engine import Adopted, Pruned
    from contentdb.findings import Action, Finding

__all__ = ["LookAfter"]


class LookAfter(Lifecycle):
    """The engine's part in upkeep."""

    def verify(self, *, quick: bool) -> Iterator[Finding]:
        """Compare rows and objects, changing nothing; the store stays open for each step."""
        with self._gate:
            steps = verify(self._resources, quick=quick)
        return self._yield_steps(steps)

    def _yield_steps(self, steps: Iterator[Finding]) -> Iterator[Finding]:
        while True:
            with self._gate:
                found = next(steps, None)
            if found is None:
                return
            yield found

    def mend(self, finding: Finding, *, dry_run: bool) -> Action:
        """Act on a finding after another look."""
        with self._gate:
            return mend(self._resources, finding, dry_run=dry_run)

    def prune(
        self, *, older_than: float, dry_run: bool, progress: Callable[[Pruned], object]
    ) -> list[Pruned]:
        """Remove ingests without a writer, the trash, and objects that no row names."""
        done = []
        with self._gate:
            for one in prune(
                self._resources, self._namespace, older_than_s=older_than, dry_run=dry_run
            ):
                progress(one)
                done.append(one)
        return done

    def adopt(self, *, dry_run: bool) -> Adopted:
        """Make blobs of the objects that a restored database does not know."""
        with self._gate:
            return adopt(self._resources, self._namespace, dry_run=dry_run)
