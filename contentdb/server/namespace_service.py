"""The service Namespaces: lists those that have rows or were made, and keeps their labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import grpc
from google.protobuf.empty_pb2 import Empty

from contentdb.errors import ContentDBError, FailedPreconditionError
from contentdb.labels import check_labels
from contentdb.server.limits import Room
from contentdb.server.namespaces import check_name
from contentdb.wire import happenings_pb2 as events
from contentdb.wire import namespaces_pb2 as wire
from contentdb.wire.messages import to_labels
from contentdb.wire.statuses import Refusal, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentdb.local.index.namespaces import Namespace
    from contentdb.server.context import CallContext
    from contentdb.store import Store

__all__ = ["create", "delete", "get", "list_namespaces", "update"]

_LABEL: Final = "labels."


class _ExistsError(ContentDBError):
    """A namespace that is to be made is there."""


class _AbsentError(ContentDBError):
    """A namespace that is to be removed is not there."""


def get(store: Store, request: wire.GetNamespaceRequest) -> wire.GetNamespaceResponse:
    """Return a namespace; one that is not there has no labels, as in containerd."""
    with store.parts() as parts:
        found = parts.index.namespace(request.name)
    namespace = wire.Namespace(name=request.name, labels=found.labels or {})
    return wire.GetNamespaceResponse(namespace=namespace)


def list_namespaces(
    store: Store,
    request: wire.ListNamespacesRequest,  # noqa: ARG001 - containerd too passes over its filter
) -> wire.ListNamespacesResponse:
    """Return all namespaces in order; refuse if one message is too small."""
    answer = wire.ListNamespacesResponse()
    room = Room("the namespaces")
    with store.parts() as parts:
        for name in parts.index.namespaces():
            labels = parts.index.namespace(name).labels or {}
            message = wire.Namespace(name=name, labels=labels)
            room.take(message.ByteSize())
            answer.namespaces.append(message)
    return answer


def create(
    call: CallContext, store: Store, request: wire.CreateNamespaceRequest
) -> wire.CreateNamespaceResponse:
    """Make a namespace, which stays until it is deleted; durable when answered."""
    name = check_name(request.namespace.name)
    labels = check_labels(to_labels(request.namespace.labels, "namespace"))

    def edit(old: Namespace) -> Mapping[str, str]:
        if old.is_there:
            raise _ExistsError
        return labels

    try:
        with store.parts() as parts:
            parts.index.edit_namespace(name, edit)
    except _ExistsError:
        reason = f"namespace {quoted(name)}: already exists"
        raise Refusal(grpc.StatusCode.ALREADY_EXISTS, reason) from None
    call.events.publish(
        name, "/namespaces/create", events.NamespaceCreate(name=name, labels=labels)
    )
    return wire.CreateNamespaceResponse(namespace=request.namespace)


def update(
    call: CallContext, store: Store, request: wire.UpdateNamespaceRequest
) -> wire.UpdateNamespaceResponse:
    """Change labels, and make the namespace if it is not there; durable when answered."""
    name = check_name(request.namespace.name)
    given = to_labels(request.namespace.labels, "namespace")
    paths = list(request.update_mask.paths)
    for path in paths:
        if not path.startswith(_LABEL):
            reason = f"cannot update {quoted(path)} field"
            raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, reason)
    keys = [path.removeprefix(_LABEL) for path in paths]

    def edit(old: Namespace) -> Mapping[str, str]:
        if not keys:
            return check_labels(given)
        return check_labels({**(old.labels or {}), **{key: given.get(key, "") for key in keys}})

    with store.parts() as parts:
        labels = parts.index.edit_namespace(name, edit)
    call.events.publish(
        name, "/namespaces/update", events.NamespaceUpdate(name=name, labels=labels)
    )
    return wire.UpdateNamespaceResponse(namespace=wire.Namespace(name=name, labels=labels))


def delete(call: CallContext, store: Store, request: wire.DeleteNamespaceRequest) -> Empty:
    """Remove a namespace that has nothing; durable when answered."""
    name = request.name

    def edit(old: Namespace) -> None:
        if old.holds:
            held = ", ".join(old.holds)
            reason = f"namespace {quoted(name)} must be empty, but it still has {held}"
            raise FailedPreconditionError(reason)
        if not old.is_there:
            raise _AbsentError

    try:
        with store.parts() as parts:
            parts.index.edit_namespace(name, edit)
    except _AbsentError:
        reason = f"namespace {quoted(name)}: not found"
        raise Refusal(grpc.StatusCode.NOT_FOUND, reason) from None
    call.events.publish(name, "/namespaces/delete", events.NamespaceDelete(name=name))
    return Empty()
