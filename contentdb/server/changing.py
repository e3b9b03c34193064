"""The short rpcs that change something: Update, Delete and Abort."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.empty_pb2 import Empty

from contentdb.digest import Digest
from contentdb.wire import content_pb2 as wire
from contentdb.wire.happenings_pb2 import ContentDelete
from contentdb.wire.messages import from_info, to_labels

if TYPE_CHECKING:
    from contentdb.server.context import CallContext
    from contentdb.store import Store

__all__ = ["abort", "delete", "update"]


def update(store: Store, request: wire.UpdateRequest) -> wire.UpdateResponse:
    """Replace all labels of a blob, or those named by the mask; durable when answered."""
    changed = store.update(
        Digest(request.info.digest),
        to_labels(request.info.labels),
        fields=list(request.update_mask.paths) or None,
    )
    return wire.UpdateResponse(info=from_info(changed))


def delete(call: CallContext, store: Store, request: wire.DeleteContentRequest) -> Empty:
    """Remove a blob; durable when answered, and no later call reads it."""
    store.delete(Digest(request.digest))
    call.blobs.forget(store, request.digest)
    event = ContentDelete(digest=request.digest)
    call.events.publish(store.namespace, "/content/delete", event)
    return Empty()


def abort(store: Store, request: wire.AbortRequest) -> Empty:
    """Remove an ingest."""
    store.abort(request.ref)
    return Empty()
