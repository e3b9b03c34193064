"""The engine on PostgreSQL and an object store, for one namespace. Bytes first, then row."""

from __future__ import annotations

from typing import Final

from contentdb.cluster.engine.ingests import Ingests
from contentdb.cluster.engine.look_after import LookAfter
from contentdb.cluster.engine.manage import Manage
from contentdb.cluster.engine.read import Read
from contentdb.cluster.engine.tags import Tags
from contentdb.cluster.engine.write import Write
from contentdb.cluster.open import open_resources
from contentdb.engine import Capability

__all__ = ["ClusterEngine", "open_engine"]

_CAPABILITIES: Final = frozenset(
    {Capability.TAGS, Capability.VERIFY, Capability.PRUNE, Capability.ADOPT}
)


class ClusterEngine(Read, Write, Ingests, Manage, Tags, LookAfter):
    """A `contentdb.engine.Engine` that many hosts may have open."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What every such store can do, and what its objects' place makes possible."""
        return _CAPABILITIES | {Capability.URLS} if self._resources.bucket.signs else _CAPABILITIES


def open_engine(
    url: str, namespace: str, *, objects: str | None = None, endpoint: str | None = None
) -> ClusterEngine:
    """Open a namespace of the store in a database; see `contentdb.open`."""
    return ClusterEngine(open_resources(url, objects, endpoint), namespace)
