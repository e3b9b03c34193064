"""The connection to a server; it sends every call with its namespace."""

from __future__ import annotations

import sys
from contextlib import contextmanager, suppress
from functools import partial
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import grpc

from contentdb.errors import InvalidArgumentError, StorageError, StoreClosedError
from contentdb.remote.answers import error_of
from contentdb.remote.calling import Entrance, Stream, free_locks, keep, let_go, unkeep
from contentdb.remote.handshake import tls_failure
from contentdb.remote.rpcs import rpcs_of
from contentdb.wire import content_pb2 as wire
from contentdb.wire import headers
from contentdb.wire.addresses import unix_target
from contentdb.wire.certificates import check_authority, check_pair
from contentdb.wire.grpc_use import is_forked_from_user, note_use

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from contentdb.errors import ContentDBError
    from contentdb.remote.rpcs import Rpc

__all__ = ["Channel", "Connection", "Credentials"]

_MESSAGE_BYTES: Final = 16 * 1024 * 1024

_PATIENCE_S: Final = 120.0
"""Timeout of a call with one request and one answer."""
_KEEPALIVE_MS: Final = 310_000
_KEEPALIVE_TIMEOUT_MS: Final = 20_000
"""gRPC pings a server that has been silent this long, and waits this long for its reply.

grpc-go, and so containerd, closes a connection that pings more often than every 5 minutes.
"""

T = TypeVar("T")


class Credentials(NamedTuple):
    """PEM files for mutual TLS: what the client presents, and what it trusts."""

    key: Path
    certificate: Path
    authority: Path
    """The CA that has signed the server's certificate."""


class Channel:
    """One connection to a content service, shared by threads, made at the first call.

    A call, and waiting for an answer of a stream, may raise `grpc.RpcError`; `translate_errors`
    makes it an error of the library. Calls by a signal's handler or in the child of a fork are
    refused; see `contentdb.remote.calling`.
    """

    def __init__(self, address: str, namespace: str, credentials: Credentials | None) -> None:
        self._address = address
        self._credentials = credentials
        self._closed = False
        self.is_ours = False
        """Whether the server is known to be a contentdb."""
        self.lacks: frozenset[str] = frozenset()
        """Services that the server is known not to have."""
        self._entrance = Entrance(address)
        self._entrance.check_fork()
        self._connect = _make_connector(address, credentials)
        self._connecting = Lock()
        self._connection: Connection | None = None
        self._metadata: tuple[tuple[str, str | bytes], ...] = ((headers.NAMESPACE, namespace),)

    def note_kind(self, answer: wire.WriteContentResponse) -> None:
        """Note from the answer to a STAT whether the server is a contentdb."""
        self.is_ours = answer.HasField("status")

    def info(self, request: wire.InfoRequest) -> wire.InfoResponse:
        """Request one blob's Info."""
        answer: wire.InfoResponse = self.ask("Info", request)
        return answer

    def update(self, request: wire.UpdateRequest) -> wire.UpdateResponse:
        """Change labels."""
        answer: wire.UpdateResponse = self.ask("Update", request)
        return answer

    def list_content(self, request: wire.ListContentRequest) -> Stream[wire.ListContentResponse]:
        """List blobs."""
        return self.stream("List", request)

    def delete(self, request: wire.DeleteContentRequest) -> None:
        """Remove a blob."""
        self.ask("Delete", request)

    def read(self, request: wire.ReadContentRequest) -> Stream[wire.ReadContentResponse]:
        """Read a range."""
        return self.stream("Read", request)

    def status(self, request: wire.StatusRequest) -> wire.StatusResponse:
        """Request one ingest's Status."""
        answer: wire.StatusResponse = self.ask("Status", request)
        return answer

    def list_statuses(self, request: wire.ListStatusesRequest) -> wire.ListStatusesResponse:
        """List ingests."""
        answer: wire.ListStatusesResponse = self.ask("ListStatuses", request)
        return answer

    def stream_statuses(
        self, request: wire.ListStatusesRequest
    ) -> Stream[wire.ListStatusesResponse]:
        """List ingests; a server other than contentdb's answers `grpc.StatusCode.UNIMPLEMENTED`."""
        return self.stream("StreamStatuses", request)

    def write(
        self, requests: Iterator[wire.WriteContentRequest]
    ) -> Stream[wire.WriteContentResponse]:
        """Begin or resume an ingest."""
        return self.stream("Write", requests)

    def abort(self, request: wire.AbortRequest) -> None:
        """Remove an ingest."""
        self.ask("Abort", request)

    @contextmanager
    def translate_errors(
        self, *, digest: str = "", ref: str | None = None, absent: ContentDBError | None = None
    ) -> Iterator[None]:
        """Raise a `grpc.RpcError` of the block as an error of the library.

        The arguments are what the call is about, for servers that do not say it: a blob, an
        ingest, or the error to raise if what it is about is not there.
        """
        try:
            yield
        except grpc.RpcError as error:
            why = self._tls_failure
            raise error_of(error, digest=digest, ref=ref, absent=absent, why=why) from error

    def _tls_failure(self) -> str | None:
        return self._credentials and tls_failure(self._address, self._credentials)

    @property
    def is_parents(self) -> bool:
        """Whether the connection belongs to the parent: this is a child of a process using gRPC."""
        return is_forked_from_user()

    def check(self) -> None:
        """Raise `UnsafeForkError` or `ReentrantCallError` if a call now would raise it."""
        self._entrance.check()

    def close(self) -> None:
        """Disconnect; twice is harmless. In the child of a fork the parent's connection stays."""
        if self.is_parents:
            return
        with self._entrance:
            with self._connecting:
                self._closed = True
            if (connection := self._connection) is not None:
                try:
                    connection.close()
                except BaseException as error:
                    self._abandon(connection)
                    free_locks(error)
                    raise

    def ask(self, name: str, request: object) -> Any:  # noqa: ANN401 - each rpc has its own type
        """Call an rpc with one answer, by its name in `contentdb.remote.rpcs`."""
        connection = self._get_connection()
        return self._call(name, request, connection=connection, timeout=_PATIENCE_S)

    def stream(self, name: str, request: object) -> Stream[Any]:
        """Call an rpc with a stream of answers."""
        connection = self._get_connection()
        answers = self._call(name, request, connection=connection)
        return Stream(answers, self._entrance, partial(self._abandon, connection))

    def _call(
        self, name: str, request: object, *, connection: Connection, timeout: float | None = None
    ) -> Any:  # noqa: ANN401 - as above
        with self._entrance:
            try:
                return connection.rpc(name)(request, metadata=self._metadata, timeout=timeout)
            except grpc.RpcError:
                raise
            except ValueError as error:
                if self._closed:
                    raise StoreClosedError(self._address) from error
                self._abandon(connection)
                raise
            except BaseException as error:
                self._abandon(connection)
                free_locks(error)
                raise

    def _abandon(self, connection: Connection) -> None:
        """Reconnect at the next call: a signal handler's exception has interrupted gRPC."""
        connection.mark_inconsistent()
        if self._connection is connection:
            self._connection = None

    def _get_connection(self) -> Connection:
        with self._entrance:
            return self._connect_once()

    def _connect_once(self) -> Connection:
        with self._connecting:  # cannot deadlock with a handler: `_entrance` refuses its call
            if self._closed:
                raise StoreClosedError(self._address)
            if self._connection is None:
                note_use()
                self._connection = Connection(self._connect())
            return self._connection


class Connection:
    """A gRPC channel and its rpcs. Each stream refers to it, so that it outlives the stream."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel
        self._is_inconsistent = False
        self._rpcs = rpcs_of(channel)

    def rpc(self, name: str) -> Rpc:
        """Return the callable of an rpc."""
        return self._rpcs[name]

    def mark_inconsistent(self) -> None:
        """Note that gRPC may be in an inconsistent state: to close or finalize it may hang."""
        if not self._is_inconsistent:
            self._is_inconsistent = True
            keep(self._channel)

    def close(self) -> None:
        """Disconnect; gRPC cancels the calls under way."""
        self._channel.close()

    def __del__(self) -> None:
        vars(self).pop("_rpcs", None)  # the rpcs refer to the channel, too
        if self._is_inconsistent and not is_forked_from_user() and not sys.is_finalizing():
            with suppress(RuntimeError):  # the process cannot start another thread
                Thread(
                    target=_end, args=(self._channel,), name="contentdb-end", daemon=True
                ).start()
        let_go(vars(self), "_channel")


def _end(channel: grpc.Channel) -> None:
    """Close an inconsistent channel, in a thread that may wait for ever."""
    channel.close()
    unkeep(channel)


def _make_connector(address: str, credentials: Credentials | None) -> Callable[[], grpc.Channel]:
    """Check the address and the credentials; return a function that connects."""
    options = (
        ("grpc.max_receive_message_length", _MESSAGE_BYTES),
        ("grpc.max_send_message_length", _MESSAGE_BYTES),
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
        ("grpc.http2.ping_timeout_ms", _KEEPALIVE_TIMEOUT_MS),  # else gRPC ignores the former
        ("grpc.http2.max_pings_without_data", 0),  # 0 is no limit: a stream may be idle for long
    )
    path = address.removeprefix("unix://").removeprefix("unix:")
    if "/" in path or path != address:
        # Go refuses the authority that gRPC derives from a path.
        authority = ("grpc.default_authority", "localhost")
        return partial(grpc.insecure_channel, unix_target(path), (*options, authority))
    if credentials is None:
        raise InvalidArgumentError(
            f"{address} is reached over TCP, which takes mutual TLS: give key, certificate and "
            "authority, or the path of a unix socket"
        )
    authority_pem, key_pem, chain_pem = map(
        _read, (credentials.authority, credentials.key, credentials.certificate)
    )
    try:
        check_authority(credentials.authority)
        check_pair(credentials.certificate, credentials.key)
    except ValueError as error:
        raise InvalidArgumentError(str(error)) from error

    def connect() -> grpc.Channel:
        shown = grpc.ssl_channel_credentials(authority_pem, key_pem, chain_pem)
        return grpc.secure_channel(address, shown, options)

    return connect


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError.of("read", path, error) from error
