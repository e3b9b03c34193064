"""What clients ask to learn what this server is, and of the snapshots that it does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

import grpc

from contentdb.filters import Kind, parse
from contentdb.wire import introspection_pb2 as wire
from contentdb.wire.statuses import Refusal

if TYPE_CHECKING:
    from google.protobuf.empty_pb2 import Empty

    from contentdb.server.context import CallContext
    from contentdb.store import Store
    from contentdb.wire.snapshots_pb2 import StatSnapshotRequest

__all__ = ["plugins", "server", "stat_snapshot"]

_FIELDS: Final = {"type": Kind.TEXT, "id": Kind.TEXT}
_PLUGINS: Final = (
    ("io.containerd.content.v1", "content"),
    ("io.containerd.grpc.v1", "content"),
    ("io.containerd.grpc.v1", "events"),
    ("io.containerd.grpc.v1", "healthcheck"),
    ("io.containerd.grpc.v1", "images"),
    ("io.containerd.grpc.v1", "introspection"),
    ("io.containerd.grpc.v1", "leases"),
    ("io.containerd.grpc.v1", "namespaces"),
    ("io.containerd.grpc.v1", "version"),
)
"""Type and id in containerd of what this server has."""


def plugins(store: Store, request: wire.PluginsRequest) -> wire.PluginsResponse:  # noqa: ARG001 - every rpc has one
    """Return those of containerd's plugins that this server has and the filters choose."""
    chosen = parse(*request.filters, fields=_FIELDS)
    found = [
        wire.Plugin(type=kind, id=name)
        for kind, name in _PLUGINS
        if chosen.matches({"type": kind, "id": name})
    ]
    return wire.PluginsResponse(plugins=found)


def server(call: CallContext, store: Store, request: Empty) -> wire.ServerResponse:  # noqa: ARG001 - it is empty
    """Return the id of the store, which stays; none if it has none and nothing may change."""
    with store.parts() as parts:
        found = parts.index.store_id()
        if found is None and not call.read_only:
            found = parts.index.make_store_id()
    return wire.ServerResponse(uuid=found or "")


def stat_snapshot(store: Store, request: StatSnapshotRequest) -> NoReturn:  # noqa: ARG001 - as above
    """Answer that there is none: by that clients learn that an image is not unpacked."""
    reason = f"snapshot {request.key} does not exist: not found"
    raise Refusal(grpc.StatusCode.NOT_FOUND, reason)
