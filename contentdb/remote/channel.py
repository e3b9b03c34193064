"""The connection, and every call of it with its namespace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeVar

import grpc

from contentdb.errors import InvalidArgumentError
from contentdb.server.content_pb2_grpc import ContentStub
from contentdb.server.namespaces import HEADER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from contentdb.server import content_pb2 as wire

__all__ = ["Channel", "Credentials", "Stream"]

_MESSAGE_BYTES: Final = 16 * 1024 * 1024

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
    """One connection to a content service, shared by threads."""

    def __init__(self, address: str, namespace: str, credentials: Credentials | None) -> None:
        self._channel = _open(address, credentials)
        self._stub = ContentStub(self._channel)
        self._metadata = ((HEADER, namespace),)

    def info(self, request: wire.InfoRequest) -> wire.InfoResponse:
        """Ask for one blob's Info."""
        return self._stub.Info(request, metadata=self._metadata)

    def update(self, request: wire.UpdateRequest) -> wire.UpdateResponse:
        """Change labels."""
        return self._stub.Update(request, metadata=self._metadata)

    def list_content(self, request: wire.ListContentRequest) -> Iterator[wire.ListContentResponse]:
        """List blobs."""
        return self._stub.List(request, metadata=self._metadata)

    def delete(self, request: wire.DeleteContentRequest) -> None:
        """Remove a blob."""
        self._stub.Delete(request, metadata=self._metadata)

    def read(self, request: wire.ReadContentRequest) -> Stream[wire.ReadContentResponse]:
        """Read a range."""
        return self._stub.Read(request, metadata=self._metadata)

    def status(self, request: wire.StatusRequest) -> wire.StatusResponse:
        """Ask for one ingest's Status."""
        return self._stub.Status(request, metadata=self._metadata)

    def list_statuses(self, request: wire.ListStatusesRequest) -> wire.ListStatusesResponse:
        """List ingests."""
        return self._stub.ListStatuses(request, metadata=self._metadata)

    def write(
        self, requests: Iterator[wire.WriteContentRequest]
    ) -> Stream[wire.WriteContentResponse]:
        """Begin or resume an ingest."""
        return self._stub.Write(requests, metadata=self._metadata)

    def abort(self, request: wire.AbortRequest) -> None:
        """Drop an ingest."""
        self._stub.Abort(request, metadata=self._metadata)

    def close(self) -> None:
        """Disconnect; twice is harmless."""
        self._channel.close()


def _open(address: str, credentials: Credentials | None) -> grpc.Channel:
    options = (
        ("grpc.max_receive_message_length", _MESSAGE_BYTES),
        ("grpc.max_send_message_length", _MESSAGE_BYTES),
    )
    path = address.removeprefix("unix://").removeprefix("unix:")
    if "/" in path or path != address:
        authority = ("grpc.default_authority", "localhost")  # Go refuses what gRPC makes of a path
        return grpc.insecure_channel(f"unix:{path}", (*options, authority))
    if credentials is None:
        raise InvalidArgumentError(
            f"{address} is reached over TCP, which takes mutual TLS: give key, certificate and "
            "authority, or the path of a unix socket"
        )
    chain = grpc.ssl_channel_credentials(
        root_certificates=credentials.authority.read_bytes(),
        private_key=credentials.key.read_bytes(),
        certificate_chain=credentials.certificate.read_bytes(),
    )
    return grpc.secure_channel(address, chain, options)
