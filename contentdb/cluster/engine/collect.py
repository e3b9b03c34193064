"""Collection: take what nothing keeps, tell what keeps a blob, and count what waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from contentdb.cluster.catalog import collecting, leases
from contentdb.cluster.catalog.why import FOREVER_NS, Horizon, climb
from contentdb.cluster.engine.lifecycle import Lifecycle
from contentdb.cluster.upkeep.collect import Run
from contentdb.cluster.upkeep.rehearse import Rehearsal
from contentdb.content import QueueStatus
from contentdb.errors import NotFoundError, UndecidedError
from contentdb.expiry import GRACE_NS

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentdb.cluster.sql import Connection
    from contentdb.content import Collected, Collection, Step
    from contentdb.digest import Digest
    from contentdb.engine import CollectTerms

__all__ = ["Collect"]

_AT_ONE_MOMENT: Final = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"


class Collect(Lifecycle):
    """The engine's part in `contentdb.content.Collector`."""

    def collect(self, terms: CollectTerms, progress: Callable[[Collected], object]) -> Collection:
        """Take what nothing keeps; the store may be closed while ``progress`` is called."""
        run = (Rehearsal if terms.dry_run else Run)(self._resources, self._namespace, terms)
        steps = run.steps()
        while True:
            with self._gate:
                one = next(steps, None)
            if one is None:
                return run.result
            progress(one)

    def why(self, digest: Digest) -> tuple[Step, ...]:
        """Return what keeps a blob, rather what has a name than that it is new or old."""

        def work(connection: Connection[Any]) -> tuple[Step, ...]:
            connection.execute(_AT_ONE_MOMENT)
            for horizon in (Horizon(now_ns, FOREVER_NS), Horizon(now_ns, now_ns, old_before_ns)):
                (way,) = climb(connection, self._namespace, [str(digest)], horizon)
                if way.root is not None:
                    return way.steps
                if way.is_undecided:
                    raise UndecidedError(digest, way.seen)
                if not way.there:
                    raise NotFoundError(digest=digest)
            return ()

        with self._gate:
            now_ns = collecting.moment(self._resources.database)
            old_before_ns = collecting.since(self._resources.database)[1]
            return self._resources.database.transact(work)

    def queue_status(self) -> QueueStatus:
        """Count what is in the queue, and the leases that live."""
        with self._gate:
            database, namespace = self._resources.database, self._namespace
            pages = leases.listed(database, namespace)
            live = sum(row.lives for page in pages for row in page)
            queue = collecting.count_queue(database, namespace)
            since_ns = collecting.since(database)[0]
            return QueueStatus(*queue, live, None if since_ns is None else since_ns + GRACE_NS)
