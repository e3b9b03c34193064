"""The connection, and every call of it with its namespace."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeVar

import grpc

from contentdb.errors import InvalidArgumentError, StorageError, StoreClosedError
from contentdb.remote.answers import error_of
from contentdb.remote.handshake import tls_failure
from contentdb.server import content_pb2 as wire
from contentdb.server.addresses import unix_target
from contentdb.server.certificates import check_authority, check_pair
from contentdb.server.content_pb2_grpc import ContentStub
from contentdb.server.messages import OWN_SERVICE
from contentdb.server.namespaces import HEADER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["Channel", "Credentials", "Stream"]

_MESSAGE_BYTES: Final = 16 * 1024 * 1024

_PATIENCE_S: Final = 120.0
"""How long a call may take that is one question and one answer."""
_KEEPALIVE_MS: Final = 310_000
_KEEPALIVE_TIMEOUT_MS: Final = 20_000
"""After so long a silence a server is asked for a sign of life, and given so long to send it.

grpc-go, and so containerd, ends a connection that asks more often than every 5 minutes.
"""

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Stream(Protocol[T_co]):
    """A server's answers as they come. Waiting for one may raise `grpc.RpcError`."""

    def __iter__(self) -> Iterator[T_co]:
        """Itself."""
        ...

    def __next__(self) -> T_co:
        """Wait for the next answer."""
        ...

    def cancel(self) -> object:
        """Tell the server to stop."""
        ...


class Credentials(NamedTuple):
    """Files, in PEM, that a client shows and trusts in mutual TLS."""

    key: Path
    certificate: Path
    authority: Path
    """That has signed the server's certificate."""


class Channel:
    """One connection to a content service, shared by threads.

    A call, and waiting for the answers of a stream, may raise `grpc.RpcError`; see `told`.
    """

    def __init__(self, address: str, namespace: str, credentials: Credentials | None) -> None:
        self._address = address
        self._credentials = credentials
        self._closed = False
        self.is_ours = False
        """Whether the server is known to be a contentdb."""
        self._channel = _open(address, credentials)
        self._stub = ContentStub(self._channel)
        self._stream_statuses: Callable[..., Iterator[wire.ListStatusesResponse]] = (
            self._channel.unary_stream(
                f"/{OWN_SERVICE}/StreamStatuses",
                request_serializer=wire.ListStatusesRequest.SerializeToString,
                response_deserializer=wire.ListStatusesResponse.FromString,
            )
        )
        self._metadata = ((HEADER, namespace),)

    def has_met(self, answer: wire.WriteContentResponse) -> None:
        """Note which kind of server there is, from its answer to a STAT."""
        self.is_ours = answer.HasField("status")

    def info(self, request: wire.InfoRequest) -> wire.InfoResponse:
        """Ask for one blob's Info."""
        return self._call(self._stub.Info, request, timeout=_PATIENCE_S)

    def update(self, request: wire.UpdateRequest) -> wire.UpdateResponse:
        """Change labels."""
        return self._call(self._stub.Update, request, timeout=_PATIENCE_S)

    def list_content(self, request: wire.ListContentRequest) -> Iterator[wire.ListContentResponse]:
        """List blobs."""
        return self._call(self._stub.List, request)

    def delete(self, request: wire.DeleteContentRequest) -> None:
        """Remove a blob."""
        self._call(self._stub.Delete, request, timeout=_PATIENCE_S)

    def read(self, request: wire.ReadContentRequest) -> Stream[wire.ReadContentResponse]:
        """Read a range."""
        return self._call(self._stub.Read, request)

    def status(self, request: wire.StatusRequest) -> wire.StatusResponse:
        """Ask for one ingest's Status."""
        return self._call(self._stub.Status, request, timeout=_PATIENCE_S)

    def list_statuses(self, request: wire.ListStatusesRequest) -> wire.ListStatusesResponse:
        """List ingests."""
        return self._call(self._stub.ListStatuses, request, timeout=_PATIENCE_S)

    def stream_statuses(
        self, request: wire.ListStatusesRequest
    ) -> Iterator[wire.ListStatusesResponse]:
        """List ingests; a server of another kind ends it with `grpc.StatusCode.UNIMPLEMENTED`."""
        return self._call(self._stream_statuses, request)

    def write(
        self, requests: Iterator[wire.WriteContentRequest]
    ) -> Stream[wire.WriteContentResponse]:
        """Begin or resume an ingest."""
        return self._call(self._stub.Write, requests)

    def abort(self, request: wire.AbortRequest) -> None:
        """Drop an ingest."""
        self._call(self._stub.Abort, request, timeout=_PATIENCE_S)

    @contextmanager
    def told(self, *, digest: str = "", ref: str | None = None) -> Iterator[None]:
        """Raise what a call in the block ends with as an error of the library."""
        try:
            yield
        except grpc.RpcError as error:
            raise error_of(error, digest=digest, ref=ref, why=self._tls_failure) from error

    def _tls_failure(self) -> str | None:
        return self._credentials and tls_failure(self._address, self._credentials)

    def close(self) -> None:
        """Disconnect; twice is harmless."""
        self._closed = True
        self._channel.close()

    def _call(self, rpc: Callable[..., T], request: object, *, timeout: float | None = None) -> T:
        try:
            return rpc(request, metadata=self._metadata, timeout=timeout)
        except ValueError as error:
            if not self._closed:
                raise
            raise StoreClosedError(self._address) from error


def _open(address: str, credentials: Credentials | None) -> grpc.Channel:
    options = (
        ("grpc.max_receive_message_length", _MESSAGE_BYTES),
        ("grpc.max_send_message_length", _MESSAGE_BYTES),
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
        ("grpc.http2.ping_timeout_ms", _KEEPALIVE_TIMEOUT_MS),  # else the former counts for nothing
        ("grpc.http2.max_pings_without_data", 0),  # 0 is no limit: a stream may wait for long
    )
    path = address.removeprefix("unix://").removeprefix("unix:")
    if "/" in path or path != address:
        authority = ("grpc.default_authority", "localhost")  # Go refuses what gRPC makes of a path
        return grpc.insecure_channel(unix_target(path), (*options, authority))
    if credentials is None:
        raise InvalidArgumentError(
            f"{address} is reached over TCP, which takes mutual TLS: give key, certificate and "
            "authority, or the path of a unix socket"
        )
    chain = grpc.ssl_channel_credentials(
        root_certificates=_read(credentials.authority),
        private_key=_read(credentials.key),
        certificate_chain=_read(credentials.certificate),
    )
    try:
        check_authority(credentials.authority)
        check_pair(credentials.certificate, credentials.key)
    except ValueError as error:
        raise InvalidArgumentError(str(error)) from error
    return grpc.secure_channel(address, chain, options)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError.of("read", path, error) from error
