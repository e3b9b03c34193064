"""urllib3's connections, with strict heads of answers and watched from their beginning.

urllib3 gives no access to a socket before it is connected and TLS has started. Until then a slow
server could not be cut off, and a caller could not interrupt the connection. Its own way through a
proxy raises an error with the proxy's words in it, which may repeat a password.
"""

from __future__ import annotations

import socket
from contextlib import ExitStack
from functools import partial
from http import HTTPStatus
from http.client import BadStatusLine, HTTPException, RemoteDisconnected, UnknownProtocol
from http.client import HTTPResponse as PlainResponse
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, Final, Self

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HeaderParsingError
from urllib3.util.response import assert_header_parsing

from contentdb.oci.registry.proxy import refused_by

if TYPE_CHECKING:
    from collections.abc import Callable

    from urllib3.response import HTTPResponse

    from contentdb.oci.registry.proxy import Proxy
    from contentdb.oci.registry.url import Target
    from contentdb.oci.registry.watchdog import Exchange, Watchdog

__all__ = ["Connection", "Making", "PlainConnection", "TlsConnection"]

_LOOK_EVERY_S: Final = 0.1
"""Seconds between two checks for an interrupt while resolving a host name."""


class _CheckedResponse(PlainResponse):
    """Refuses malformed heads of answers, whose text urllib3 would log, with any secrets in it."""

    def __init__(self, *args: Any, began: Callable[[], None], **named: Any) -> None:  # noqa: ANN401 - http.client's own
        super().__init__(*args, **named)
        self._began = began

    def begin(self) -> None:
        """Read the status and the headers, and tell when their first byte is there."""
        if self.fp.peek(1):
            self._began()
        try:
            super().begin()
            assert_header_parsing(self.msg)
        except RemoteDisconnected:
            raise
        except (BadStatusLine, UnknownProtocol, HeaderParsingError) as error:
            kind = HTTPException if isinstance(error, HeaderParsingError) else type(error)
        else:
            return
        raise kind("malformed head")  # out here: the first error's text is the head


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
    """A connection that is watched while it is made, to a server or through a proxy."""

    making: Making
    """Set it before `connect`."""
    origin: tuple[str, str, int]
    """Of the server that is talked to, whether through a proxy or not."""
    proxy_used: Proxy | None = None
    """The proxy that the bytes go to, if any."""
    _opening: bytes

    def use_proxy(self, proxy: Proxy, target: Target) -> None:
        """Go to a server through a proxy; for https, have it open a tunnel."""
        self.proxy_used = proxy
        if target.scheme == "https":
            self.set_tunnel(target.host, target.port)
            self._opening = proxy.opening(target)

    @property
    def is_forwarded(self) -> bool:
        """Whether a proxy reads the requests and sends its own to the server."""
        return self.proxy_used is not None and self._tunnel_host is None

    def answer(self, began: Callable[[], None]) -> HTTPResponse:
        """Read an answer's head; call ``began`` at its first byte."""
        made = partial(_CheckedResponse, began=began)
        self.response_class = made  # type: ignore[assignment]  # it is only called
        return self.getresponse()

    def _tunnel(self) -> None:
        """Have the proxy connect to the server."""
        self.send(self._opening)
        response = _CheckedResponse(self.sock, method="CONNECT", began=lambda: None)
        try:
            response.begin()
        finally:
            response.close()
        if response.status != HTTPStatus.OK and self.proxy_used is not None:
            raise refused_by(self.proxy_used, response.status)

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
