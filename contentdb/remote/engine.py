"""The remote engine: asks a server of containerd's API to do what a store does."""

from __future__ import annotations

from contentdb.engine import Capability
from contentdb.remote.leases import Leases

__all__ = ["RemoteEngine"]


class RemoteEngine(Leases):
    """Implements `contentdb.engine.Engine` over a connection.

    The server decides what is durable and what it verifies; the client verifies every blob that
    it reads from the beginning. A call in the child of a process that has used gRPC raises
    `UnsafeForkError`, and a call by a signal's handler whose thread is inside gRPC raises
    `ReentrantCallError`; neither waits.
    """

    capabilities = frozenset({Capability.TAGS, Capability.LEASES})
