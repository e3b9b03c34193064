"""HTTP exchanges on urllib3's connections: raw, bounded and watched bytes, without policy.

This module keeps the connections instead of urllib3's pool, for two reasons: the watchdog needs
each exchange's socket, and the pool logs whole URLs, which are secrets if they are signed.
`contentdb.oci.registry.session` handles redirects, credentials and retries.
"""

from __future__ import annotations

import ssl
import threading
from http.client import HTTPException
from typing import TYPE_CHECKING, Final, cast

from urllib3.exceptions import HTTPError

from contentdb.errors import InvalidArgumentError
from contentdb.oci.failures import BrokenError, OversizeError, no_connection
from contentdb.oci.registry.connection import Connection, Making, PlainConnection, TlsConnection
from contentdb.oci.registry.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import BinaryIO

    from urllib3 import HTTPHeaderDict
    from urllib3.response import HTTPResponse

    from contentdb.oci.registry.url import Target
    from contentdb.oci.registry.watchdog import Exchange

__all__ = ["Answer", "Transport"]

CHUNK_BYTES: Final = 1024 * 1024
"""Limit for one piece of a body."""
_SEND_BYTES: Final = 128 * 1024
"""Bytes to send within a socket's timeout; small, so that a slow line does not time out."""
_TIMEOUT_S: Final = 30.0
_BREAKS: Final = (HTTPError, HTTPException, OSError, ValueError, AttributeError)
"""Errors of a broken connection; AttributeError if the socket is shut during a TLS read."""


class Answer:
    """A response whose body has not been read yet; read it, or drop it with `close`."""

    def __init__(
        self,
        transport: Transport,
        conn: Connection,
        response: HTTPResponse,
        exchange: Exchange,
    ) -> None:
        self._transport = transport
        self._conn = conn
        self._response = response
        self._exchange = exchange
        self._whole = False
        self.status: int = response.status
        self.headers: HTTPHeaderDict = response.headers

    def chunks(self, most_bytes: int) -> Iterator[bytes]:
        """Yield the body as it comes, never decoded.

        Raises:
            OversizeError: The body is longer than ``most_bytes``, which have been yielded.
            BrokenError: The body ended before its declared length, or was too slow.
        """
        left = most_bytes
        try:
            while data := self._response.read1(min(CHUNK_BYTES, left + 1), decode_content=False):
                self._exchange.moved(len(data))
                if len(data) > left:
                    yield data[:left]
                    raise OversizeError
                left -= len(data)
                yield data
        except _BREAKS as error:
            raise self._broken(error) from error
        if self._exchange.cut:
            raise BrokenError("it sent too slowly", slow=True)
        self._whole = True

    def read(self, most_bytes: int) -> bytes:
        """Return the whole body; it raises the same errors as `chunks`."""
        return b"".join(self.chunks(most_bytes))

    def close(self) -> None:
        """Keep the connection for the next request if the body was read; else close it."""
        self._exchange.done()
        empty = self._response.length_remaining == 0 and not self._response.chunked
        self._response.close()  # else the connection refuses the next request
        if (self._whole or empty) and not self._exchange.cut and self._keep_alive():
            self._transport.give_back(self._conn)
        else:
            self._conn.close()

    def _keep_alive(self) -> bool:
        return (
            "close" not in self.headers.get("Connection", "").lower()
            and self._conn.sock is not None
        )

    def _broken(self, error: Exception) -> BrokenError:
        if self._exchange.cut:
            return BrokenError("it sent too slowly", slow=True)
        return BrokenError(f"the connection broke ({type(error).__name__})")


class _CountedBody:
    """A request's body, which tells the watchdog how many bytes the server has taken."""

    def __init__(self, body: BinaryIO, exchange: Exchange) -> None:
        self._body = body
        self._exchange = exchange

    def read(self, size: int = -1, /) -> bytes:
        """Read the next bytes."""
        data = self._body.read(size)
        self._exchange.moved(len(data))
        return data


class Transport:
    """Connections to any number of origins. Thread-safe.

    Args:
        trusted: The only origin that gets the client certificate.
        ca: A file of further CA certificates, in PEM.
        cert: A client certificate and its key, in PEM.
        grace_s: Seconds that an exchange may stay silent.
        least_rate: Bytes per second that it must sustain afterwards.
    """

    def __init__(
        self,
        trusted: tuple[str, str, int],
        *,
        ca: str | None = None,
        cert: tuple[str, str | None] | None = None,
        grace_s: float = 30.0,
        least_rate: float = 1024.0,
    ) -> None:
        self._trusted = trusted
        self._ca = ca
        self._cert = cert
        self._watchdog = Watchdog(grace_s=grace_s, least_rate=least_rate)
        self._timeout_s = min(_TIMEOUT_S, grace_s)
        self._lock = threading.Lock()
        self._closed = False
        self._idle: dict[tuple[str, str, int], list[Connection]] = {}
        self._contexts: dict[bool, ssl.SSLContext] = {}
        if ca is not None or cert is not None:
            self._context_for(trusted=True)  # raises now if the files cannot be used

    def exchange(
        self,
        method: str,
        target: Target,
        headers: Mapping[str, str],
        body: bytes | BinaryIO | None = None,
    ) -> Answer:
        """Send one request; read the status and headers of its answer.

        If an idle connection turns out to be dead and the body can be sent again, retry once on a
        new connection.

        Raises:
            BrokenError: The connection failed, or the answer's headers came too slowly.
        """
        conn = self._take_idle(target)
        if conn is not None:
            try:
                return self._send(conn, method, target, headers, body)
            except BrokenError as error:
                if error.slow or not (body is None or isinstance(body, bytes)):
                    raise
        return self._send(self._fresh(target), method, target, headers, body)

    def give_back(self, conn: Connection) -> None:
        """Keep a connection for the next request to its origin, unless the transport is closed."""
        scheme = "https" if isinstance(conn, TlsConnection) else "http"
        with self._lock:
            if not self._closed:
                self._idle.setdefault((scheme, conn.host.strip("[]"), conn.port), []).append(conn)
                return
        conn.close()

    def close(self) -> None:
        """Close the idle connections and stop the watchdog; an exchange under way continues."""
        self._watchdog.close()
        with self._lock:
            idle, self._idle = self._idle, {}
            self._closed = True
        for conns in idle.values():
            for conn in conns:
                conn.close()

    def interrupt(self) -> None:
        """Cut the exchanges under way and refuse new ones: each raises `BrokenError` at once."""
        self._watchdog.cut_all()

    def resume(self) -> None:
        """Allow exchanges again."""
        self._watchdog.resume()

    def pause(self, seconds: float) -> None:
        """Wait, until `interrupt` at the latest."""
        self._watchdog.interrupted.wait(seconds)

    def _send(
        self,
        conn: Connection,
        method: str,
        target: Target,
        headers: Mapping[str, str],
        body: bytes | BinaryIO | None,
    ) -> Answer:
        """Send a request on a connection; without an answer, close it and stop watching it."""
        exchange: Exchange | None = None
        try:
            if conn.sock is None:
                self._connect(conn)
            exchange = self._watchdog.watch(conn.sock)
            conn.request(
                method,
                target.path,
                body=body
                if body is None or isinstance(body, bytes)
                else cast("BinaryIO", _CountedBody(body, exchange)),
                headers=dict(headers),
                preload_content=False,
                decode_content=False,
            )
            response = conn.getresponse()
            if exchange.cut:
                raise OSError("cut")  # noqa: TRY301 - handled below like a broken connection
        except BaseException as error:
            conn.close()
            if exchange is not None:
                exchange.done()
            if not isinstance(error, _BREAKS):
                raise  # an error of the body's own
            if exchange is not None and exchange.cut:
                raise BrokenError("its answer came too slowly", slow=True) from error
            raise no_connection(error) from error
        return Answer(self, conn, response, exchange)

    def _connect(self, conn: Connection) -> None:
        with Making(self._watchdog) as conn.making:
            try:
                conn.connect()
            except _BREAKS as error:
                if conn.making.cut:
                    raise BrokenError("the connection was made too slowly", slow=True) from error
                raise

    def _take_idle(self, target: Target) -> Connection | None:
        with self._lock:
            conns = self._idle.get(target.origin, [])
            while conns:
                conn = conns.pop()
                if conn.is_connected:
                    return conn
                conn.close()
        return None

    def _fresh(self, target: Target) -> Connection:
        if target.scheme == "http":
            return PlainConnection(
                target.host, target.port, timeout=self._timeout_s, blocksize=_SEND_BYTES
            )
        return TlsConnection(
            target.host,
            target.port,
            timeout=self._timeout_s,
            blocksize=_SEND_BYTES,
            ssl_context=self._context_for(trusted=target.origin == self._trusted),
        )

    def _context_for(self, *, trusted: bool) -> ssl.SSLContext:
        with self._lock:
            if trusted not in self._contexts:
                self._contexts[trusted] = _make_context(self._ca, self._cert if trusted else None)
            return self._contexts[trusted]


def _make_context(ca: str | None, cert: tuple[str, str | None] | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    try:
        if ca is not None:
            context.load_verify_locations(ca)
    except OSError as error:
        raise InvalidArgumentError(f"{ca} holds no CA certificates in PEM") from error
    try:
        if cert is not None:
            context.load_cert_chain(*cert)
    except OSError as error:
        names = " and ".join(name for name in cert or () if name)
        raise InvalidArgumentError(f"{names}: no client certificate and its key, PEM") from error
    return context
