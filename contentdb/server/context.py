"""What some rpcs need of their call beside its store and its request."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import grpc

    from contentdb.server.events import Events
    from contentdb.server.limits import Place
    from contentdb.server.openblobs import OpenBlobs

__all__ = ["CallContext"]


class CallContext(NamedTuple):
    """What all calls of a server share, and what belongs to this one."""

    blobs: OpenBlobs
    events: Events
    place: Place
    """Of this call."""
    grpc: grpc.ServicerContext
    """Of this call."""
    read_only: bool
    """Whether no call may change anything."""
