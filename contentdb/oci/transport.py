"""HTTP exchanges on urllib3's connections: raw bytes, bounded, watched, and no policy.

The connections are kept here and not in urllib3's pool, for two reasons: a watched exchange
needs its socket, and the pool writes whole URLs to its log, where signed ones are secrets. So
does the connection about a malformed head, with the head: such an answer is refused before.
Redirects, credentials and retries are `contentdb.oci.registry`'s affair.
"""

from __future__ import annotations

import ipaddress
import ssl
import threading
from http.client import HTTPException, RemoteDisconnected
from http.client import HTTPResponse as PlainResponse
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HeaderParsingError, HTTPError
from urllib3.util.response import assert_header_parsing

from contentdb.errors import InvalidArgumentError
from contentdb.oci.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import BinaryIO

    from urllib3 import HTTPHeaderDict
    from urllib3.response import HTTPResponse

    from contentdb.oci.watchdog import Exchange

__all__ = [
    "Answer",
    "BrokenError",
    "OversizeError",
    "Target",
    "Transport",
    "is_loopback",
    "target_of",
]

CHUNK_BYTES: Final = 1024 * 1024
_TIMEOUT_S: Final = 30.0
_PORTS: Final = {"http": 80, "https": 443}
_URL_CHARS: Final = 16 * 1024


class BrokenError(Exception):
    """The connection failed or broke; ``slow`` when it was cut for being too slow.

    With an ``advice`` it is not worth another try: something has to be changed first.
    """

    def __init__(self, reason: str, *, slow: bool = False, advice: str = "") -> None:
        super().__init__(reason)
        self.slow = slow
        self.advice = advice


class OversizeError(Exception):
    """The body is longer than it may be; reading stopped at the limit."""


class Target(NamedTuple):
    """A URL, taken apart: where to connect, and what to ask for there."""

    scheme: str
    host: str
    port: int
    path: str
    """Path and query."""

    @property
    def origin(self) -> tuple[str, str, int]:
        """What two URLs share when they lead to one server."""
        return self[:3]

    @property
    def place(self) -> str:
        """The origin as text, for messages: without path and query, which may hold secrets."""
        return f"{self.scheme}://{self.host}:{self.port}"


def target_of(url: str) -> Target:
    """Take a URL apart.

    Raises:
        ValueError: Not absolute http or https, with a user in it, or with control characters.
    """
    if len(url) > _URL_CHARS or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("it is not a URL")
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("it is not an http or https URL")
    if "@" in parts.netloc:
        raise ValueError("it has a user in it")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme], path)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its very name: localhost, or a loopback address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class _CheckedResponse(PlainResponse):
    """Refuses a head that is not well-formed, which urllib3 would log, with what it echoes."""

    def begin(self) -> None:
        """Read the head."""
        super().begin()
        try:
            assert_header_parsing(self.msg)
        except HeaderParsingError:
            raise HTTPException("malformed head") from None


class _PlainConnection(HTTPConnection):
    response_class = _CheckedResponse


class _TlsConnection(HTTPSConnection):
    response_class = _CheckedResponse


class Answer:
    """A response whose body has yet to be read, or to be let go by `close`."""

    def __init__(
        self,
        transport: Transport,
        conn: HTTPConnection,
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
        """The body as it comes, never decoded.

        Raises:
            OversizeError: There is more than ``most_bytes``; those were yielded.
            BrokenError: It ended before its declared length, or was too slow.
        """
        left = most_bytes
        try:
            while data := self._response.read1(min(CHUNK_BYTES, left + 1), decode_content=False):
                self._exchange.received += len(data)
                if len(data) > left:
                    yield data[:left]
                    raise OversizeError
                left -= len(data)
                yield data
        except (HTTPError, HTTPException, OSError, ValueError, AttributeError) as error:
            # AttributeError: a socket that was shut down while its TLS was being read.
            raise self._broken(error) from error
        if self._exchange.cut:
            raise BrokenError("it sent too slowly", slow=True)
        self._whole = True

    def read(self, most_bytes: int) -> bytes:
        """The whole body at once; errors as `chunks`."""
        return b"".join(self.chunks(most_bytes))

    def close(self) -> None:
        """Free the connection: for the next request if the body was read, else for good."""
        self._exchange.done()
        empty = self._response.length_remaining == 0 and not self._response.chunked
        if (self._whole or empty) and not self._exchange.cut and self._keep_alive():
            self._transport.give_back(self._conn)
        else:
            self._response.close()
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


class Transport:
    """Connections to any number of origins. Thread-safe.

    Args:
        trusted: The origin that client certificates are meant for; others never see them.
        ca: A file of further CA certificates, in PEM.
        cert: A client certificate and its key, in PEM.
        grace_s: Seconds an exchange may stay silent.
        least_rate: Bytes a second that it must keep up afterwards.
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
        self._idle: dict[tuple[str, str, int], list[HTTPConnection]] = {}
        self._contexts: dict[bool, ssl.SSLContext] = {}
        if ca is not None or cert is not None:
            self._context(trusted=True)  # what cannot be used is told before anything is asked

    def exchange(
        self,
        method: str,
        target: Target,
        headers: Mapping[str, str],
        body: bytes | BinaryIO | None = None,
    ) -> Answer:
        """Send one request and read the head of its answer.

        A kept connection that turns out dead is replaced once, if the body can be sent again.

        Raises:
            BrokenError: No connection, or it broke, or the answer's head came too slowly.
        """
        conn = self._kept(target)
        if conn is not None:
            try:
                return self._send(conn, method, target, headers, body)
            except BrokenError as error:
                if error.slow or not (body is None or isinstance(body, bytes)):
                    raise
        return self._send(self._fresh(target), method, target, headers, body)

    def give_back(self, conn: HTTPConnection) -> None:
        """Keep a connection for the next request to its origin."""
        scheme = "https" if isinstance(conn, HTTPSConnection) else "http"
        with self._lock:
            if not self._closed:
                self._idle.setdefault((scheme, conn.host.strip("[]"), conn.port), []).append(conn)
                return
        conn.close()

    def close(self) -> None:
        """Close the idle connections and end the watch; an exchange under way goes on."""
        self._watchdog.close()
        with self._lock:
            idle, self._idle = self._idle, {}
            self._closed = True
        for conns in idle.values():
            for conn in conns:
                conn.close()

    def interrupt(self) -> None:
        """Break the exchanges under way; whoever reads one gets a `BrokenError` at once."""
        self._watchdog.cut_all()

    def _send(
        self,
        conn: HTTPConnection,
        method: str,
        target: Target,
        headers: Mapping[str, str],
        body: bytes | BinaryIO | None,
    ) -> Answer:
        exchange: Exchange | None = None
        try:
            conn.request(
                method,
                target.path,
                body=body,
                headers=dict(headers),
                preload_content=False,
                decode_content=False,
            )
            if conn.sock is None:
                raise OSError("no connection")  # noqa: TRY301 - as if connecting had failed
            exchange = self._watchdog.watch(conn.sock)
            response = conn.getresponse()
            if exchange.cut:
                raise OSError("cut")  # noqa: TRY301 - the head ended with it
        except (HTTPError, HTTPException, OSError, ValueError, AttributeError) as error:
            conn.close()
            if exchange is not None:
                exchange.done()
                if exchange.cut:
                    raise BrokenError("its answer came too slowly", slow=True) from error
            raise _no_connection(error) from error
        return Answer(self, conn, response, exchange)

    def _kept(self, target: Target) -> HTTPConnection | None:
        with self._lock:
            conns = self._idle.get(target.origin, [])
            while conns:
                conn = conns.pop()
                if conn.is_connected:
                    return conn
                conn.close()
        return None

    def _fresh(self, target: Target) -> HTTPConnection:
        if target.scheme == "http":
            return _PlainConnection(
                target.host, target.port, timeout=self._timeout_s, blocksize=CHUNK_BYTES
            )
        return _TlsConnection(
            target.host,
            target.port,
            timeout=self._timeout_s,
            blocksize=CHUNK_BYTES,
            ssl_context=self._context(trusted=target.origin == self._trusted),
        )

    def _context(self, *, trusted: bool) -> ssl.SSLContext:
        with self._lock:
            if trusted not in self._contexts:
                self._contexts[trusted] = _made_context(self._ca, self._cert if trusted else None)
            return self._contexts[trusted]


def _made_context(ca: str | None, cert: tuple[str, str | None] | None) -> ssl.SSLContext:
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


_TLS_ADVICE: Final = {
    "CERTIFICATE_VERIFY_FAILED": "if it is right, name the CA that signed it with --ca",
    "WRONG_VERSION_NUMBER": "it speaks no TLS: use --plain-http for a registry on this machine",
    "HTTP_REQUEST": "it speaks no TLS: use --plain-http for a registry on this machine",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "name a client certificate with --cert",
}
"""What to change, by the reasons that OpenSSL gives."""


def _no_connection(error: Exception) -> BrokenError:
    """Say what failed without a URL in it, which urllib3's own messages may hold."""
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    advice = _TLS_ADVICE.get(cause.reason or "", "") if isinstance(cause, ssl.SSLError) else ""
    if isinstance(cause, ssl.SSLCertVerificationError):
        reason = f"its certificate is not trusted ({cause.verify_message})"
        return BrokenError(reason, advice=advice)
    if isinstance(cause, ssl.SSLError):
        return BrokenError(f"TLS fails ({cause.reason})", advice=advice)
    if isinstance(cause, OSError) and cause.strerror:
        return BrokenError(cause.strerror)
    if isinstance(cause, RemoteDisconnected):
        return BrokenError("it closes the connection without an answer")
    if isinstance(cause, HTTPException):
        return BrokenError(f"its answer breaks the rules of HTTP ({type(error).__name__})")
    return BrokenError(f"no connection ({type(error).__name__})")
