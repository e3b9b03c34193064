"""The engine on PostgreSQL and an object store, for one namespace. Bytes first, then row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from contentdb.cluster.cache import Cache
from contentdb.cluster.engine.collect import Collect
from contentdb.cluster.engine.leases import Leases
from contentdb.cluster.engine.look_after import LookAfter
from contentdb.cluster.open import open_resources
from contentdb.engine import Capability

if TYPE_CHECKING:
    from contentdb.cluster.cache import Files

__all__ = ["ClusterEngine", "open_engine"]

_CAPABILITIES: Final = frozenset(
    {
        Capability.BATCHES,
        Capability.TAGS,
        Capability.LEASES,
        Capability.COLLECT,
        Capability.VERIFY,
        Capability.PRUNE,
        Capability.ADOPT,
    }
)


class ClusterEngine(Leases, Collect, LookAfter):
    """A `contentdb.engine.Engine` that many hosts may have open."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What every such store can do, and what its objects' place and its cache add."""
        return _CAPABILITIES | self._by_place()


def open_engine(
    url: str,
    namespace: str,
    *,
    objects: str | None = None,
    endpoint: str | None = None,
    cache: Files | None = None,
) -> ClusterEngine:
    """Open a namespace of the store in a database, with a store on files as its cache.

    The cache is closed with the engine. See `contentdb.open`.
    """
    made = None if cache is None else Cache(cache)
    return ClusterEngine(open_resources(url, objects, endpoint), namespace, made)
