"""The service Leases: containerd's leases, which are the store's.

The header `contentdb.wire.headers.LEASE` of a Write names the lease that keeps what it stores.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import grpc
from google.protobuf.empty_pb2 import Empty

from contentdb.content import LeaseInfo
from contentdb.errors import LeaseEndedError, NotFoundError
from contentdb.expiry import EXPIRE, parse_expiry
from contentdb.filters import Kind, parse
from contentdb.server.collecting import collect_before_answer
from contentdb.server.limits import Room
from contentdb.wire import headers
from contentdb.wire import leases_pb2 as wire
from contentdb.wire.keeping_pb2 import KeepRequest, KeepResponse
from contentdb.wire.leasing import FLAT, item_of, lease_of, resource_of
from contentdb.wire.messages import to_labels
from contentdb.wire.statuses import Refusal, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from contentdb.store import Store
    from contentdb.store.lease import LeasedStore

__all__ = [
    "add_resource",
    "check_lease",
    "create",
    "delete",
    "delete_resource",
    "keep",
    "list_leases",
    "list_resources",
    "under_lease",
]

_FIELDS: Final = {"id": Kind.TEXT, "labels": Kind.LABELS}


def under_lease(store: Store, metadata: Iterable[tuple[str, str | bytes]]) -> Store | LeasedStore:
    """Return a store for a call: that of the lease in its headers, if there is one.

    Raises:
        NotFoundError: There is no such lease, or another one has its id by now.
    """
    found = dict(metadata)
    id_ = _text(found.get(headers.LEASE_ENCODED)) or _text(found.get(headers.LEASE))
    if not id_:
        return store
    lease = store.use_lease(id_)
    created = _text(found.get(headers.LEASE_CREATED))
    if created and created != str(lease.describe().created_ns):
        raise NotFoundError(lease=id_)
    return lease


def check_lease(store: Store, metadata: Iterable[tuple[str, str | bytes]]) -> None:
    """Raise `NotFoundError` if the lease in a call's headers is not the one that began then.

    Only contentdb's client says when it began. Others mean whatever has the id.
    """
    if any(key == headers.LEASE_CREATED for key, _ in metadata):
        under_lease(store, metadata)


def _text(value: str | bytes | None) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value or ""


def create(store: Store, request: wire.CreateRequest) -> wire.CreateResponse:
    """Begin a lease that lives until it is deleted, or until its label says; durable."""
    labels = to_labels(request.labels, "lease")
    expires = _read_expiry(labels)
    lease = store.lease(
        id=request.id or None,
        expires=expires,
        lasting=expires is None,
        flat=FLAT in labels,
        labels=labels,
    )
    try:
        made = lease.describe()
    except LeaseEndedError:  # its time is over already
        made = LeaseInfo(lease.id, time.time_ns(), None, FLAT in labels, None, labels)
    return wire.CreateResponse(lease=lease_of(made))


def _read_expiry(labels: Mapping[str, str]) -> timedelta | None:
    """Return for how long a lease lives; refuse a time that cannot be read."""
    text = labels.get(EXPIRE)
    if text is None:
        return None
    try:
        left_ns = parse_expiry(text) - time.time_ns()
    except ValueError as error:
        reason = f"{quoted(text)} of label {EXPIRE} is no time as in 2024-05-01T12:00:00Z"
        raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, reason) from error
    return max(timedelta(microseconds=left_ns // 1000), timedelta.resolution)


def delete(store: Store, request: wire.DeleteRequest) -> Empty:
    """End a lease; durable when answered.

    With ``sync`` the answer waits for a collection; see `contentdb.server.collecting`.
    """
    store.end_lease(request.id)
    if request.sync:
        collect_before_answer(store)
    return Empty()


def list_leases(store: Store, request: wire.ListRequest) -> wire.ListResponse:
    """Return the live leases that the filters choose, by id; refuse if one message is too small."""
    chosen = parse(*request.filters, fields=_FIELDS)
    answer = wire.ListResponse()
    room = Room("these leases", "select fewer by a filter")
    for info in store.leases():
        lease = lease_of(info)
        if chosen.matches({"id": lease.id, "labels": lease.labels}):
            room.take(lease.ByteSize())
            answer.leases.append(lease)
    return answer


def add_resource(store: Store, request: wire.AddResourceRequest) -> Empty:
    """Add a thing to a lease, of any kind, whether it is there or not; durable when answered."""
    store.use_lease(request.id).add_item(*item_of(request.resource))
    return Empty()


def delete_resource(store: Store, request: wire.DeleteResourceRequest) -> Empty:
    """Let a lease go of a thing; durable when answered."""
    store.use_lease(request.id).drop_item(*item_of(request.resource))
    return Empty()


def list_resources(store: Store, request: wire.ListResourcesRequest) -> wire.ListResourcesResponse:
    """Return what a lease keeps; refuse if one message is too small."""
    answer = wire.ListResourcesResponse()
    room = Room("the things of the lease")
    for item in store.use_lease(request.id).items():
        resource = resource_of(item)
        room.take(resource.ByteSize())
        answer.resources.append(resource)
    return answer


def keep(store: Store, request: KeepRequest) -> KeepResponse:
    """Add a blob to a lease if it is stored, at once; durable when answered."""
    return KeepResponse(kept=store.use_lease(request.id).keep(request.digest))
