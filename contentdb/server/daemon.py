"""The gRPC server: listens, starts, and stops without losing a byte."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Self

import grpc
from google.protobuf.empty_pb2 import Empty

import contentdb
from contentdb.errors import InvalidArgumentError
from contentdb.local.owner import may_only_read
from contentdb.server.guard import SocketGuard
from contentdb.server.health import Health
from contentdb.server.limits import Limits, Places
from contentdb.server.metrics import Metrics, NoMetrics
from contentdb.server.namespaces import Namespaces
from contentdb.server.parsing import unary
from contentdb.server.rpcs import RPCS
from contentdb.server.service import Service
from contentdb.store_folder import is_database
from contentdb.wire import version_pb2
from contentdb.wire.addresses import Address, unix_target
from contentdb.wire.certificates import check_authority, check_pair
from contentdb.wire.grpc_use import note_use

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from contentdb.store import Store
    from contentdb.store.open import Durability, SharingPolicy

__all__ = ["ListenError", "Server", "Tls"]

_GRACE_S: Final = 10.0
_CLOSING_S: Final = 5.0
"""How long cancelled calls may take to close what they have open."""
_LEAST_S: Final = 1.0
_SPARE_THREADS: Final = 16
"""Further threads, for new calls: they take a place, free one, or refuse the call."""
_WINDOW_BYTES: Final = 4 * 1024 * 1024
_READ_BYTES: Final = 256 * 1024
"""First read from a socket; gRPC's own 8 KiB make ingests 5 % slower."""
_READ_LEAST_BYTES: Final = 64 * 1024
_KEEPALIVE_MS: Final = 60_000
"""The server pings a client that has been silent this long."""
_KEEPALIVE_TIMEOUT_MS: Final = 20_000


class ListenError(Exception):
    """An address cannot be listened on. Attribute: ``address``."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"cannot listen on {address}: {reason}")
        self.address = address


class Tls(NamedTuple):
    """PEM files for mutual TLS: the server's, and the authority of its clients."""

    key: Path
    certificate: Path
    client_authority: Path
    """The CA that must have signed a client's certificate."""


def _opener(
    root: str | os.PathLike[str],
    durability: Durability,
    sharing: SharingPolicy,
    cache: str | os.PathLike[str] | None,
    *,
    read_only: bool,
) -> Callable[[str], Store]:
    """Return a function that opens a namespace of the store."""
    if is_database(root):
        if durability != "full":
            raise InvalidArgumentError("a store in a database has no durability but full")
        return lambda namespace: contentdb.open(root, namespace=namespace, cache=cache)
    mode: Literal["rw", "r"] = "r" if read_only and may_only_read(root) else "rw"
    options: dict[str, Any] = {"durability": durability, "mode": mode, "sharing": sharing}
    return lambda namespace: contentdb.open(
        root, create=not read_only, namespace=namespace, **options
    )


class Server:
    """Serves the store at a root. Call `listen_…`, then `start`; the ``with`` block's end stops it.

    Args:
        root: The store; one on files is created if it does not exist, unless ``read_only``. One
            in a database always stores what it is sent, whatever ``sharing`` says.
        durability: As for `contentdb.open`.
        default_namespace: The namespace of calls that name none, such as those of a containerd
            that uses this server as its content plugin; None refuses such calls.
        read_only: Refuse every call that would change something.
        sharing: As for `contentdb.open`, but shared by default, as in containerd.
        limits: How much clients may have open.
        metrics: Counts and times the calls.
        cache: As for `contentdb.open`.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        durability: Durability = "full",
        default_namespace: str | None = None,
        read_only: bool = False,
        sharing: SharingPolicy = "shared",
        limits: Limits | None = None,
        metrics: Metrics | None = None,
        cache: str | os.PathLike[str] | None = None,
    ) -> None:
        limits = limits or Limits()
        open_store = _opener(root, durability, sharing, cache, read_only=read_only)
        open_store(default_namespace or "default").close()  # raises now for a bad root
        self._namespaces = Namespaces(
            open_store, default=default_namespace, limit=limits.namespaces
        )
        self._stopped = self._ended = False
        self._guards: list[SocketGuard] = []
        at_once = limits.calls + _SPARE_THREADS
        self._threads = ThreadPoolExecutor(at_once, "contentdb-rpc")
        note_use()
        self._server = grpc.server(
            self._threads, options=_options(limits), maximum_concurrent_rpcs=at_once
        )
        places = Places(limits)
        self._health = Health(places, frozenset(rpc.service for rpc in RPCS))
        self._service = Service(
            self._namespaces, places, metrics or NoMetrics(), read_only=read_only
        )
        self._server.add_generic_rpc_handlers(
            (*self._service.handlers(), self._health.handler(), _version_handler())
        )

    def listen_unix(self, path: Path) -> None:
        """Listen on a unix socket; see `SocketGuard` for the paths it refuses."""
        guard = SocketGuard(path)
        self._guards.append(guard)
        mask = os.umask(0o177)
        try:
            self._listen(str(guard.path), unix_target(guard.path), None)
        finally:
            os.umask(mask)

    def listen_tls(self, address: str, tls: Tls) -> int:
        """Listen on ``HOST:PORT`` with mutual TLS; return the port. Port 0 means any free one."""
        try:
            place = str(Address.parse(address))
        except ValueError as error:
            raise ListenError(address, str(error)) from error
        return self._listen(address, place, _credentials(address, tls))

    def _listen(self, shown: str, place: str, credentials: grpc.ServerCredentials | None) -> int:
        try:
            if credentials is None:
                return self._server.add_insecure_port(place)
            return self._server.add_secure_port(place, credentials)
        except RuntimeError as error:
            raise ListenError(shown, "it is in use, or no address of this machine") from error

    def start(self) -> None:
        """Begin to serve calls."""
        self._health.set(serving=True)
        self._server.start()

    def stop(self, *, grace_s: float = _GRACE_S) -> bool:
        """Accept no new calls, wait ``grace_s`` for those under way, then cancel them.

        Clients can resume the ingests of cancelled calls. Twice is harmless.

        Returns:
            Whether all calls have ended. If not, gRPC has lost a call or a disk does not answer,
            and a thread remains until the process ends. The stores are closed all the same,
            unless that thread is inside one.
        """
        if self._stopped:
            return self._ended
        self._stopped = True
        self._health.set(serving=False)
        self._service.events.close()
        deadline = monotonic() + grace_s + _CLOSING_S
        ended = self._server.stop(grace_s).wait(grace_s + _CLOSING_S)
        # A cancelled call may still be closing its ingest.
        ended &= _run_until(deadline, self._threads.shutdown)
        self._service.close()
        self._ended = _run_until(deadline, self._namespaces.close) and ended
        for guard in self._guards:
            guard.release()
        return self._ended

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _run_until(deadline: float, act: Callable[[], object]) -> bool:
    """Run ``act`` in a thread; return whether it ends by the deadline, or within a second."""
    thread = Thread(target=act, name="contentdb-end", daemon=True)
    thread.start()
    thread.join(max(_LEAST_S, deadline - monotonic()))
    return not thread.is_alive()


def _credentials(address: str, tls: Tls) -> grpc.ServerCredentials:
    try:
        check_pair(tls.certificate, tls.key)
        check_authority(tls.client_authority)
    except ValueError as error:
        raise ListenError(address, str(error)) from error
    return grpc.ssl_server_credentials(
        [(tls.key.read_bytes(), tls.certificate.read_bytes())],
        root_certificates=tls.client_authority.read_bytes(),
        require_client_auth=True,
    )


def _options(limits: Limits) -> tuple[tuple[str, int], ...]:
    return (
        ("grpc.max_receive_message_length", limits.message_bytes),
        ("grpc.max_send_message_length", limits.message_bytes),
        ("grpc.so_reuseport", 0),  # else a second server could share the port
        ("grpc.http2.lookahead_bytes", _WINDOW_BYTES),
        ("grpc.experimental.tcp_read_chunk_size", _READ_BYTES),
        ("grpc.experimental.tcp_min_read_chunk_size", _READ_LEAST_BYTES),
        # A vanished client must not hold its ref for ever.
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
        ("grpc.http2.ping_timeout_ms", _KEEPALIVE_TIMEOUT_MS),  # else gRPC ignores the former
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    )


def _version_handler() -> grpc.GenericRpcHandler:
    def version(_request: Empty, _context: grpc.ServicerContext) -> version_pb2.VersionResponse:
        return version_pb2.VersionResponse(version=contentdb.__version__, revision="contentdb")

    method = unary(version, Empty.FromString, version_pb2.VersionResponse.SerializeToString)
    return grpc.method_handlers_generic_handler(
        "containerd.services.version.v1.Version", {"Version": method}
    )
