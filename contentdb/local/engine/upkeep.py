"""Looking after a store: verify changes nothing, the others act."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, TypeVar

from contentdb.local.disk_reserve import make_room
from contentdb.local.engine.opened import Opened
from contentdb.local.upkeep.doubts import POLL_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from contentdb.local.upkeep.prune import Pruned
    from contentdb.local.upkeep.reindex import Reindexed
    from contentdb.local.upkeep.verify import Finding

__all__ = ["Upkeep"]

T = TypeVar("T")
_END: Final = object()


class Upkeep(Opened):
    """What an operator asks for; each method's work is in the module of its name."""

    def verify(self, *, quick: bool = False) -> Iterator[Finding]:
        """Compare all files with the index, changing nothing; findings as they come, or none.

        Safe beside any other use of the store: a file without a row that another user may be
        about to record is looked at again in the end, for a minute at most. `contentdb.repair`
        acts on findings.

        Args:
            quick: Compare sizes and XXH3-64 checksums, which finds decay at many times the
                speed; a digest also shows what was forged.
        """
        from contentdb.local.upkeep.verify import verify

        return self._inside(verify(self._parts, quick=quick))

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
        from contentdb.local.upkeep.prune import prune

        if not dry_run:
            make_room(str(self.root))
        pruned = []
        for one in self._inside(prune(self._parts, older_than_s=older_than, dry_run=dry_run)):
            pruned.append(one)
            progress(one)
        return pruned

    def reindex(self, *, dry_run: bool = False) -> Reindexed:
        """Bring the index in line with the files: they are the truth. Durable; may be repeated.

        A file without a row is read: it gets one if it matches its name, else it goes to
        ``quarantine/``. A row without a file goes. Labels of what has both stay. With ``dry_run``
        it is only counted.
        """
        from contentdb.local.upkeep.reindex import reindex_parts

        with self._gate:
            return reindex_parts(self._parts, dry_run=dry_run)

    def _inside(self, steps: Iterator[T | None]) -> Iterator[T]:
        """Keep the store open while its caller is served, not while the caller works."""
        with self._gate:
            pass
        return self._each_inside(steps)

    def _each_inside(self, steps: Iterator[T | None]) -> Iterator[T]:
        while True:
            with self._gate:
                step = next(steps, _END)
            if step is _END:
                return
            if step is None:
                time.sleep(POLL_S)
            else:
                yield step  # type: ignore[misc]  # the end was seen above
