"""HTTP exchanges on urllib3's connections: raw, bounded and watched bytes, without policy.

This module keeps the connections instead of urllib3's pool, for two reasons: the watchdog needs
each exchange's socket, and the pool logs whole URLs, which are secrets if they are signed.
`contentdb.oci.registry.session` handles redirects, credentials and retries.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, cast

from contentdb.errors import InvalidArgumentError
from contentdb.oci.failures import BrokenError, no_connection
from contentdb.oci.registry.answer import BREAKS, Answer
from contentdb.oci.registry.connection import Connection, Making, PlainConnection, TlsConnection
from contentdb.oci.registry.proxy import WANTS_CREDENTIALS, Proxies, refused_by
from contentdb.oci.registry.tls import make_context
from contentdb.oci.registry.watchdog import Watchdog

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping
    from typing import BinaryIO

    from urllib3.response import HTTPResponse

    from contentdb.oci.registry.url import Target
    from contentdb.oci.registry.watchdog import Exchange

__all__ = ["Transport"]

_SEND_BYTES: Final = 128 * 1024
"""Bytes to send within a socket's timeout; small, so that a slow line does not time out."""
_TIMEOUT_S: Final = 30.0
_MOST_IDLE: Final = 128
"""Limit for idle connections in all: a registry may redirect each request to another server."""
_DAY_S: Final = 24 * 3600


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
        ca: Files of further CA certificates, in PEM.
        cert: A client certificate and its key, in PEM.
        verified: Whether the trusted origin's certificate has to be right; others' always have to.
        proxies: The proxies to go through; by default none.
        timeout_s: Seconds to wait for the first byte of an answer.
        grace_s: Seconds that an exchange may stay silent at any other time.
        least_rate: Bytes per second that it must sustain afterwards.

    Raises:
        InvalidArgumentError: A file or a time cannot be used.
    """

    def __init__(
        self,
        trusted: tuple[str, str, int],
        *,
        ca: tuple[str, ...] = (),
        cert: tuple[str, str | None] | None = None,
        verified: bool = True,
        proxies: Proxies | None = None,
        timeout_s: float = 300.0,
        grace_s: float = 30.0,
        least_rate: float = 1024.0,
    ) -> None:
        if not 0 < timeout_s <= _DAY_S:
            raise InvalidArgumentError(f"{timeout_s} is no number of seconds up to a day")
        self._proxies = Proxies() if proxies is None else proxies
        self._answer_s = timeout_s
        self._trusted = trusted
        self._ca = ca
        self._cert = cert
        self._verified = verified
        self._watchdog = Watchdog(grace_s=grace_s, least_rate=least_rate)
        self._timeout_s = min(_TIMEOUT_S, grace_s)
        self._lock = threading.Lock()
        self._closed = False
        self._idle: dict[tuple[str, str, int], list[Connection]] = {}
        self._contexts: dict[bool, ssl.SSLContext] = {}
        if ca or cert is not None:
            self._context_for(trusted=True)  # raises now if the files cannot be used

    def exchange(
        self,
        method: str,
        target: Target,
        headers: Mapping[str, str],
        body: bytes | BinaryIO | None = None,
    ) -> Answer:
        """Send one request; read the status and headers of its answer.

        If an idle connection turns out to be dead and the body is no stream, retry once on a new
        connection.

        Raises:
            BrokenError: The connection failed, or the answer's headers came too slowly.
            InvalidArgumentError: The proxy for this request is of a kind that is not supported.
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
        with self._lock:
            kept = not self._closed
            extra = [] if kept else [conn]
            if kept:
                self._idle.setdefault(conn.origin, []).append(conn)
            if sum(map(len, self._idle.values())) > _MOST_IDLE:
                extra += self._idle.pop(next(iter(self._idle)))
        for one in extra:
            one.close()

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
        """Wait, until `interrupt` or the end of this thread's work at the latest."""
        self._watchdog.pause(seconds)

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
            response, whole = self._ask(conn, exchange, method, target, headers, body)
            if exchange.cut:
                response.close()
                raise OSError("cut")  # noqa: TRY301 - handled below like a broken connection
        except BaseException as error:
            reached = conn.sock is not None
            conn.close()
            if exchange is not None:
                exchange.done()
            if not isinstance(error, BREAKS):
                raise  # an error of the body's own
            raise self._broken(conn, exchange, error, reached=reached) from error
        answer = Answer(conn, response, exchange, self.give_back if whole else Connection.close)
        proxy = conn.proxy_used
        if proxy is not None and conn.is_forwarded and answer.status == WANTS_CREDENTIALS:
            answer.close()
            raise refused_by(proxy, answer.status)
        return answer

    def _ask(
        self,
        conn: Connection,
        exchange: Exchange,
        method: str,
        target: Target,
        headers: Mapping[str, str],
        body: bytes | BinaryIO | None,
    ) -> tuple[HTTPResponse, bool]:
        """Send a request and read the answer's head; return whether the body was sent whole.

        A server that refuses a body may answer and close the connection before it has read it.
        """
        sock = conn.sock
        sock.settimeout(self._timeout_s)
        path, more = target.path, {}
        if conn.proxy_used is not None and conn.is_forwarded:
            path, more = conn.proxy_used.absolute(target), conn.proxy_used.headers
        lost: OSError | None = None
        try:
            conn.request(
                method,
                path,
                body=body
                if body is None or isinstance(body, bytes)
                else cast("BinaryIO", _CountedBody(body, exchange)),
                headers={**headers, **more},
                preload_content=False,
                decode_content=False,
            )
            exchange.await_answer(self._answer_s)
            conn.timeout = self._answer_s
        except (BrokenPipeError, ConnectionResetError) as error:
            if body is None:
                raise
            lost, conn.timeout = error, self._timeout_s

        def began() -> None:
            exchange.answered()
            sock.settimeout(self._timeout_s)

        try:
            return conn.answer(began), lost is None
        except BREAKS as error:
            if lost is None:
                raise
            raise lost from error

    def _connect(self, conn: Connection) -> None:
        with Making(self._watchdog) as conn.making:
            conn.connect()

    @staticmethod
    def _broken(
        conn: Connection, exchange: Exchange | None, error: Exception, *, reached: bool
    ) -> BrokenError:
        """Return the error for an exchange that broke, which says what was waited for."""
        if exchange is not None and (exchange.cut or isinstance(error, TimeoutError)):
            found = BrokenError(exchange.late, slow=True, advice=exchange.advice)
        elif exchange is None and conn.making.cut:
            found = BrokenError("the connection was made too slowly", slow=True)
        elif exchange is None and isinstance(error, TimeoutError):
            found = BrokenError("no connection came about in time")
        else:
            found = no_connection(error)
        return found if conn.proxy_used is None else conn.proxy_used.blamed(found, reached=reached)

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
        proxy = self._proxies.choose(target)
        host, port = target[1:3] if proxy is None else (proxy.host, proxy.port)
        conn: Connection
        if target.scheme == "http":
            conn = PlainConnection(host, port, timeout=self._timeout_s, blocksize=_SEND_BYTES)
        else:
            conn = TlsConnection(
                host,
                port,
                timeout=self._timeout_s,
                blocksize=_SEND_BYTES,
                ssl_context=self._context_for(trusted=target.origin == self._trusted),
            )
        conn.origin = target.origin
        if proxy is not None:
            conn.use_proxy(proxy, target)
        return conn

    def _context_for(self, *, trusted: bool) -> ssl.SSLContext:
        with self._lock:
            if trusted not in self._contexts:
                self._contexts[trusted] = make_context(
                    self._ca,
                    self._cert if trusted else None,
                    verified=self._verified or not trusted,
                )
            return self._contexts[trusted]
