"""urllib3's connections, strict about an answer's head and under watch while they are made.

urllib3 gives no hand on a socket before it is connected and its TLS has begun. Until then a silent
server could not be told from a slow one, nor given up by who asked.
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
"""How often who waits for an address looks whether that was interrupted."""


class _CheckedResponse(PlainResponse):
    """Refuses a head that is not well-formed, which urllib3 would log, with what it echoes."""

    def begin(self) -> None:
        """Read the head."""
        super().begin()
        try:
            assert_header_parsing(self.msg)
        except HeaderParsingError:
            raise HTTPException("malformed head") from None


class Making:
    """The making of one connection, watched: from the look-up of its name to the end of its TLS."""

    def __init__(self, watchdog: Watchdog) -> None:
        self._watchdog = watchdog
        self._watched: list[Exchange] = []
        self._stack = ExitStack()

    @property
    def cut(self) -> bool:
        """Whether it was too slow."""
        return any(exchange.cut for exchange in self._watched)

    def watch(self, sock: socket.socket) -> None:
        """Watch a socket by a duplicate, since TLS will take the socket itself away.

        Raises:
            BrokenError: Interrupted.
        """
        twin = self._stack.enter_context(sock.dup())
        exchange = self._watchdog.watch(twin)
        self._stack.callback(exchange.done)
        self._watched.append(exchange)

    def addresses(self, host: str, port: int) -> list[Any]:
        """Look a name up, in a thread of its own: nothing cuts a look-up short.

        Raises:
            BrokenError: Interrupted.
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
    """A connection that is made under watch."""

    response_class = _CheckedResponse
    making: Making
    """To be set before `connect`."""

    def _new_conn(self) -> socket.socket:
        """Connect to the first address that answers; errors are the operating system's own."""
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
    """For http."""


class TlsConnection(Connection, HTTPSConnection):
    """For https."""
