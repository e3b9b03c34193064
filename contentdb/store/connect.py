"""A store behind a server: contentdb's own, or a containerd daemon."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from contentdb.refs import DEFAULT_NAMESPACE, check_namespace
from contentdb.remote import RemoteEngine
from contentdb.store import Store

if TYPE_CHECKING:
    from contentdb.remote.channel import Credentials

__all__ = ["RemoteStore", "connect"]


class RemoteStore(Store):
    """A `contentdb.Store` behind a server; made by `contentdb.connect`.

    Methods that work on a store's own files raise `FailedPreconditionError`. In a fork's child
    whose parent has used gRPC every method raises `UnsafeForkError`, in a signal handler whose
    thread is inside gRPC `ReentrantCallError`; neither waits for anything.
    """

    @property
    def address(self) -> str:
        """The server's address, as given to `contentdb.connect`."""
        return self._engine.place


def connect(
    address: str, *, namespace: str = DEFAULT_NAMESPACE, credentials: Credentials | None = None
) -> RemoteStore:
    """Use the store that a server serves.

    Args:
        address: The path of a unix socket (also as ``unix:PATH``), or ``HOST:PORT``.
        namespace: The namespace whose blobs and ingests the store sees.
        credentials: For mutual TLS, which ``HOST:PORT`` needs.

    Returns:
        The store. Its first use sends the first request.

    Raises:
        UnsafeForkError: This process was forked from one that has used gRPC.
    """
    engine = RemoteEngine(address, check_namespace(namespace), credentials)
    return RemoteStore(engine, partial(_reduce, engine))


def _reduce(engine: RemoteEngine) -> tuple[object, ...]:
    return _connect_again, (engine.place, engine.namespace, engine.credentials)


def _connect_again(address: str, namespace: str, credentials: Credentials | None) -> RemoteStore:
    return connect(address, namespace=namespace, credentials=credentials)
