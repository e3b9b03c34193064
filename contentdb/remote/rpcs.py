"""The rpcs of a server that this client calls, by their names."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from contentdb.wire import content_pb2
from contentdb.wire.content_pb2_grpc import ContentStub
from contentdb.wire.images_pb2_grpc import ImagesStub
from contentdb.wire.keeping_pb2_grpc import KeepingStub
from contentdb.wire.leases_pb2_grpc import LeasesStub
from contentdb.wire.messages import OWN_SERVICE
from contentdb.wire.tags_pb2_grpc import TagsStub

if TYPE_CHECKING:
    import grpc

__all__ = ["Rpc", "rpcs_of"]

Rpc = Callable[..., Any]


def rpcs_of(channel: grpc.Channel) -> dict[str, Rpc]:
    """Return the rpcs of Content by their methods, those of other services as Service.Method."""
    streaming = channel.unary_stream(
        f"/{OWN_SERVICE}/StreamStatuses",
        request_serializer=content_pb2.ListStatusesRequest.SerializeToString,
        response_deserializer=content_pb2.ListStatusesResponse.FromString,
    )
    rpcs: dict[str, Rpc] = vars(ContentStub(channel)) | {"StreamStatuses": streaming}
    for service, stub in (
        ("Images", ImagesStub(channel)),
        ("Keeping", KeepingStub(channel)),
        ("Leases", LeasesStub(channel)),
        ("Tags", TagsStub(channel)),
    ):
        rpcs |= {f"{service}.{method}": rpc for method, rpc in vars(stub).items()}
    return rpcs
