"""The engine on PostgreSQL and an object store, for one namespace. Bytes first, then row."""

from __future__ import annotations

from contentdb.cluster.engine.collect import Collect
from contentdb.cluster.engine.leases import Leases
from contentdb.cluster.engine.look_after import LookAfter
from contentdb.cluster.open import open_resources
from contentdb.engine import Capability

__all__ = ["ClusterEngine", "open_engine"]


class ClusterEngine(Leases, Collect, LookAfter):
    """A `contentdb.engine.Engine` that many hosts may have open."""

    capabilities = frozenset(
        {
            Capability.TAGS,
            Capability.LEASES,
            Capability.COLLECT,
            Capability.PRUNE,
            Capability.ADOPT,
        }
    )


def open_engine(
    url: str, namespace: str, *, objects: str | None = None, endpoint: str | None = None
) -> ClusterEngine:
    """Open a namespace of the store in a database; see `contentdb.open`."""
    return ClusterEngine(open_resources(url, objects, endpoint), namespace)
