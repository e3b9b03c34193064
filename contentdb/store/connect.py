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

    What works on a store's own files raises `FailedPreconditionError`. A child of a process that
    has used gRPC is refused (`UnsafeForkError`), and so is a signal's handler whose thread is
    inside gRPC (`ReentrantCallError`); both at once.
    """

    @property
    def address(self) -> str:
        """Where the server is."""
        return self._engine.place


def connect(
    address: str, *, namespace: str = DEFAULT_NAMESPACE, credentials: Credentials | None = None
) -> RemoteStore:
    """Use the store that a server serves.

    Args:
        address: The path of a unix socket (also as ``unix:PATH``), or ``HOST:PORT``.
        namespace: Whose blobs and ingests to see.
        credentials: For mutual TLS, which ``HOST:PORT`` takes.

    Returns:
        The store. Nothing is sent before it is used.

    Raises:
        UnsafeForkError: This process is the child of one that has used gRPC.
    """
    engine = RemoteEngine(address, check_namespace(namespace), credentials)
    return RemoteStore(engine, partial(_reopening, engine))


def _reopening(engine: RemoteEngine) -> tuple[object, ...]:
    return _connected_anew, (engine.place, engine.namespace, engine.credentials)


def _connected_anew(address: str, namespace: str, credentials: Credentials | None) -> RemoteStore:
    return connect(address, namespace=namespace, credentials=credentials)
