"""The table of rpcs, service by service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import grpc
from google.protobuf.empty_pb2 import Empty

from contentdb.server import (
    changing,
    events,
    images,
    introspection,
    leases,
    namespace_service,
    reading,
    tagging,
    writing,
)
from contentdb.wire import (
    content_pb2,
    events_pb2,
    images_pb2,
    introspection_pb2,
    keeping_pb2,
    leases_pb2,
    namespaces_pb2,
    snapshots_pb2,
    tags_pb2,
)
from contentdb.wire.framing import take_apart
from contentdb.wire.leasing import KEEPING, LEASES
from contentdb.wire.messages import OWN_SERVICE
from contentdb.wire.tagging import IMAGES, TAGS

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

__all__ = ["BOTH", "RPCS", "SERVER", "SERVICE", "UNARY", "Rpc"]

SERVICE: Final = "containerd.services.content.v1.Content"

UNARY: Final = grpc.unary_unary_rpc_method_handler
SERVER: Final = grpc.unary_stream_rpc_method_handler
BOTH: Final = grpc.stream_stream_rpc_method_handler


class Rpc(NamedTuple):
    """One rpc, and the function that answers it."""

    name: str
    """In logs and metrics: those of Content by their method alone, others as Service.Method."""
    handler: Callable[..., Any]
    """Called with the store and the request, or the iterator of requests."""
    request: type[Message]
    shape: Callable[..., grpc.RpcMethodHandler[Any, Any]] = UNARY
    changes: bool = False
    serialized: bool = False
    """Whether the handler returns serialized messages."""
    in_context: bool = False
    """Whether the handler's first argument is a `CallContext`, before the store."""
    parse: Callable[[bytes], Any] | None = None
    """Replaces the request class's own parser."""
    service: str = SERVICE
    namespaced: bool = True
    """Whether the call is about one namespace, which its header must name."""
    leased: bool = False
    """Whether the lease that a header names keeps what the call stores."""
    about_lease: bool = False
    """Whether the call names a lease, whose beginning a header may tell."""

    @property
    def method(self) -> str:
        """The rpc's name within its service."""
        return self.name.rpartition(".")[2]


def _change(name: str, handler: Callable[..., Any], request: type[Message]) -> Rpc:
    """Return an rpc that changes something and tells of it by an event."""
    return Rpc(name, handler, request, changes=True, in_context=True)


def _of(service: str, *rpcs: Rpc, namespaced: bool = True) -> tuple[Rpc, ...]:
    return tuple(rpc._replace(service=service, namespaced=namespaced) for rpc in rpcs)


def _content() -> tuple[Rpc, ...]:
    wire = content_pb2
    read = Rpc("Read", reading.read, wire.ReadContentRequest, SERVER)
    streaming = Rpc("StreamStatuses", reading.stream_statuses, wire.ListStatusesRequest, SERVER)
    return (
        Rpc("Info", reading.info, wire.InfoRequest),
        Rpc("Update", changing.update, wire.UpdateRequest, changes=True),
        Rpc("List", reading.list_content, wire.ListContentRequest, SERVER),
        _change("Delete", changing.delete, wire.DeleteContentRequest),
        read._replace(serialized=True, in_context=True),
        Rpc("Status", reading.status, wire.StatusRequest),
        Rpc("ListStatuses", reading.list_statuses, wire.ListStatusesRequest),
        _change("Write", writing.write, wire.WriteContentRequest)._replace(
            shape=BOTH, parse=take_apart, leased=True
        ),
        Rpc("Abort", changing.abort, wire.AbortRequest, changes=True),
        *_of(OWN_SERVICE, streaming),
    )


def _images() -> tuple[Rpc, ...]:
    wire = images_pb2
    return _of(
        IMAGES,
        Rpc("Images.Get", images.get, wire.GetImageRequest),
        Rpc("Images.List", images.list_images, wire.ListImagesRequest),
        _change("Images.Create", images.create, wire.CreateImageRequest),
        _change("Images.Update", images.update, wire.UpdateImageRequest),
        _change("Images.Delete", images.delete, wire.DeleteImageRequest),
    )


def _leases() -> tuple[Rpc, ...]:
    wire = leases_pb2
    keep = Rpc("Keeping.Keep", leases.keep, keeping_pb2.KeepRequest)
    end = Rpc("Leases.Delete", leases.delete, wire.DeleteRequest)
    add = Rpc("Leases.AddResource", leases.add_resource, wire.AddResourceRequest)
    drop = Rpc("Leases.DeleteResource", leases.delete_resource, wire.DeleteResourceRequest)
    listing = Rpc("Leases.ListResources", leases.list_resources, wire.ListResourcesRequest)
    return (
        *_of(KEEPING, keep._replace(changes=True, about_lease=True)),
        *_of(
            LEASES,
            Rpc("Leases.Create", leases.create, wire.CreateRequest, changes=True),
            end._replace(changes=True, about_lease=True),
            Rpc("Leases.List", leases.list_leases, wire.ListRequest),
            add._replace(changes=True, about_lease=True),
            drop._replace(changes=True, about_lease=True),
            listing._replace(about_lease=True),
        ),
    )


def _tags() -> tuple[Rpc, ...]:
    wire = tags_pb2
    return _of(
        TAGS,
        _change("Tags.Tag", tagging.tag, wire.TagRequest),
        _change("Tags.Untag", tagging.untag, wire.UntagRequest),
        Rpc("Tags.Get", tagging.get, wire.GetTagRequest),
        Rpc("Tags.List", tagging.list_tags, wire.ListTagsRequest, SERVER),
    )


def _namespaces() -> tuple[Rpc, ...]:
    wire, own = namespaces_pb2, namespace_service
    return _of(
        "containerd.services.namespaces.v1.Namespaces",
        Rpc("Namespaces.Get", own.get, wire.GetNamespaceRequest),
        Rpc("Namespaces.List", own.list_namespaces, wire.ListNamespacesRequest),
        _change("Namespaces.Create", own.create, wire.CreateNamespaceRequest),
        _change("Namespaces.Update", own.update, wire.UpdateNamespaceRequest),
        _change("Namespaces.Delete", own.delete, wire.DeleteNamespaceRequest),
        namespaced=False,
    )


def _introspection() -> tuple[Rpc, ...]:
    asked = snapshots_pb2.StatSnapshotRequest
    return (
        *_of(
            "containerd.services.introspection.v1.Introspection",
            Rpc("Introspection.Plugins", introspection.plugins, introspection_pb2.PluginsRequest),
            Rpc("Introspection.Server", introspection.server, Empty, in_context=True),
            namespaced=False,
        ),
        *_of(
            "containerd.services.snapshots.v1.Snapshots",
            Rpc("Snapshots.Stat", introspection.stat_snapshot, asked),
        ),
    )


def _events() -> tuple[Rpc, ...]:
    wire = events_pb2
    listen = Rpc("Events.Subscribe", events.subscribe, wire.SubscribeRequest, SERVER)
    return _of(
        "containerd.services.events.v1.Events",
        Rpc("Events.Publish", events.publish, wire.PublishRequest),
        Rpc("Events.Forward", events.forward, wire.ForwardRequest),
        listen._replace(in_context=True),
        namespaced=False,
    )


RPCS: Final = (
    *_content(),
    *_images(),
    *_leases(),
    *_tags(),
    *_namespaces(),
    *_introspection(),
    *_events(),
)
