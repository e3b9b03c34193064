"""urllib3's connections, with strict response headers and watched from their beginning.

urllib3 gives no access to a socket before it is connected and TLS has started. Until then a slow
server could not be cut off, and a caller could not interrupt the connection.
"""

from __future__ import annotations

import socket
from contextlib import ExitStack
from http.client import HTTPException
from http.client import HTTPResponse as PlainResponse
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, Final, Self

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HeaderParsingError
from urllib3.util.response import assert_header_parsing

if TYPE_CHECKING:
    from contentdb.oci.registry.watchdog import Exchange, Watchdog

__all__ = ["Connection", "Making", "PlainConnection", "TlsConnection"]

_LOOK_EVERY_S: Final = 0.1
"""Seconds between two checks for an interrupt while resolving a host name."""


class _CheckedResponse(PlainResponse):
    """Refuses malformed response headers, which urllib3 would log, with any secrets they echo."""

    def begin(self) -> None:
        """Read the status and the headers."""
        super().begin()
        try:
            assert_header_parsing(self.msg)
        except HeaderParsingError:
            raise HTTPException("malformed head") from None


class Making:
    """Watches the setup of one connection, from resolving its name to the end of the handshake."""

    def __init__(self, watchdog: Watchdog) -> None:
        self._watchdog = watchdog
        self._watched: list[Exchange] = []
        self._stack = ExitStack()

    @property
    def cut(self) -> bool:
        """Whether the watchdog cut the connection for being too slow."""
        return any(exchange.cut for exchange in self._watched)

    def watch(self, sock: socket.socket) -> None:
        """Watch a duplicate of a socket, since TLS detaches the socket itself.

        Raises:
            BrokenError: The transport was interrupted.
        """
        twin = self._stack.enter_context(sock.dup())
        exchange = self._watchdog.watch(twin)
        self._stack.callback(exchange.done)
        self._watched.append(exchange)

    def addresses(self, host: str, port: int) -> list[Any]:
        """Resolve a host name, in a thread of its own since nothing can interrupt the call.

        Raises:
            BrokenError: The transport was interrupted.
            OSError, ValueError: There is no such name.
        """
        answer: SimpleQueue[list[Any] | OSError | ValueError] = SimpleQueue()

        def look_up() -> None:
            try:
                answer.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
            except (OSError, ValueError) as error:
                answer.put(error)

        Thread(target=look_up, name="contentdb-oci-name", daemon=True).start()
        while True:
            self._watchdog.check()
            try:
                found = answer.get(timeout=_LOOK_EVERY_S)
            except Empty:
                continue
            if isinstance(found, Exception):
                raise found
            return found

    def __enter__(self) -> Self:
        """Use as a context."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop watching."""
        self._stack.close()


class Connection(HTTPConnection):
    """A connection that is watched while it is made."""

    response_class = _CheckedResponse
    making: Making
    """Set it before `connect`."""

    def _new_conn(self) -> socket.socket:
        """Connect to the first address that answers, or raise the operating system's error."""
        failed: OSError | None = None
        for family, kind, protocol, _, address in self.making.addresses(self._dns_host, self.port):
            sock = socket.socket(family, kind, protocol)
            try:
                for option in self.socket_options or ():
                    sock.setsockopt(*option)
                sock.settimeout(self.timeout)
                self.making.watch(sock)
                sock.connect(address)
            except OSError as error:
                sock.close()
                failed = error
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise failed or OSError("the name has no address")


class PlainConnection(Connection):
    """A connection for http."""


class TlsConnection(Connection, HTTPSConnection):
    """A connection for https."""
