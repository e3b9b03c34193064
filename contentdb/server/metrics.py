"""Counts and times of the calls, for Prometheus: needs the extra ``contentdb[metrics]``."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from contentdb.errors import MissingExtraError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

__all__ = ["Metrics", "NoMetrics", "Prometheus", "serve_metrics"]

_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 300)

_SCRAPES: Final = 8
"""Open connections at once."""
_SCRAPE_S: Final = 10
"""How long a connection may be silent."""


class Metrics(Protocol):
    """Receives the begin and the end of every call."""

    def began(self, rpc: str) -> None:
        """Note that a call begins."""
        ...

    def ended(self, rpc: str, code: str, seconds: float) -> None:
        """Note that a call ended with a status code, ``seconds`` after `began`."""
        ...


class NoMetrics:
    """Metrics that count nothing."""

    def began(self, rpc: str) -> None:
        """Do nothing."""

    def ended(self, rpc: str, code: str, seconds: float) -> None:
        """Do nothing."""


class Prometheus:
    """Counts calls by rpc and status code, times them, and counts those under way."""

    def __init__(self, registry: CollectorRegistry) -> None:
        from prometheus_client import Counter, Gauge, Histogram

        self._calls = Counter(
            "contentdb_rpcs", "Calls that ended.", ("rpc", "code"), registry=registry
        )
        self._open = Gauge("contentdb_rpcs_open", "Calls under way.", ("rpc",), registry=registry)
        self._seconds = Histogram(
            "contentdb_rpc_seconds",
            "From a call's first message to its status.",
            ("rpc",),
            buckets=_SECONDS,
            registry=registry,
        )

    def began(self, rpc: str) -> None:
        """Count a call as under way."""
        self._open.labels(rpc).inc()

    def ended(self, rpc: str, code: str, seconds: float) -> None:
        """Count a call as ended."""
        self._open.labels(rpc).dec()
        self._calls.labels(rpc, code).inc()
        self._seconds.labels(rpc).observe(seconds)


def serve_metrics(host: str, port: int) -> Prometheus:
    """Serve GET /metrics on its own address, until the process ends.

    Raises:
        MissingExtraError: The extra ``contentdb[metrics]`` is not installed.
    """
    try:
        from prometheus_client import CollectorRegistry, make_wsgi_app
    except ImportError as error:
        raise MissingExtraError("contentdb.server.metrics", "metrics", error) from error

    registry = CollectorRegistry()
    metrics = Prometheus(registry)
    server = _ScrapeServer(host, port)
    server.set_app(make_wsgi_app(registry))
    threading.Thread(target=server.serve_forever, name="contentdb-metrics", daemon=True).start()
    return metrics


class _ScrapeServer(WSGIServer):
    """Serves at most `_SCRAPES` connections, each in a thread; one more closes the oldest.

    So silent or slow clients cannot block the next scrape, and the number of threads is bounded.
    """

    def __init__(self, host: str, port: int) -> None:
        self._open: dict[socket.socket, None] = {}
        self._lock = threading.Lock()
        flags = socket.AI_PASSIVE
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)[0]
        self.address_family, at = found[0], found[4]
        super().__init__((str(at[0]), port), _Scrape)

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as typeshed has it
        """Serve a connection in a thread of its own."""
        with self._lock:
            if len(self._open) >= _SCRAPES:
                oldest = next(iter(self._open))
                del self._open[oldest]
                with suppress(OSError):  # the client has reset it
                    oldest.shutdown(socket.SHUT_RDWR)
            self._open[request] = None
        threading.Thread(
            target=self._answer,
            args=(request, client_address),
            name="contentdb-scrape",
            daemon=True,
        ).start()

    def _answer(self, request: socket.socket, client_address: Any) -> None:  # noqa: ANN401 - as above
        try:
            with suppress(OSError):  # timed out, reset, or closed for another
                self.finish_request(request, client_address)
        finally:
            with self._lock:
                self._open.pop(request, None)
            self.shutdown_request(request)


class _Scrape(WSGIRequestHandler):
    timeout = _SCRAPE_S

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Log nothing."""
