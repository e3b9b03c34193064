"""Upkeep of the store: remove what was abandoned, adopt what is not known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentdb.cluster.engine.lifecycle import Lifecycle
from contentdb.cluster.upkeep.adopt import adopt
from contentdb.cluster.upkeep.prune import prune

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentdb.engine import Adopted, Pruned

__all__ = ["LookAfter"]


class LookAfter(Lifecycle):
    """The engine's part in upkeep."""

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
