"""Counts and times of the calls, for Prometheus: needs the extra ``contentdb[metrics]``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from contentdb.errors import MissingExtraError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

__all__ = ["Metrics", "NoMetrics", "Prometheus", "serve_metrics"]

_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 300)


class Metrics(Protocol):
    """What is told of every call."""

    def began(self, rpc: str) -> None:
        """A call is under way."""
        ...

    def ended(self, rpc: str, code: str, seconds: float) -> None:
        """It ended with a status code, so many seconds after `began`."""
        ...


class NoMetrics:
    """Nobody is counting."""

    def began(self, rpc: str) -> None:
        """Do nothing."""

    def ended(self, rpc: str, code: str, seconds: float) -> None:
        """Do nothing."""


class Prometheus:
    """Counts calls by rpc and status code, times them, and shows those under way."""

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
    """Answer GET /metrics on an address of its own, from now until the process ends.

    Raises:
        MissingExtraError: The extra ``contentdb[metrics]`` is not installed.
    """
    try:
        from prometheus_client import CollectorRegistry, start_http_server
    except ImportError as error:
        raise MissingExtraError("contentdb.server.metrics", "metrics", error) from error

    registry = CollectorRegistry()
    metrics = Prometheus(registry)
    start_http_server(port, host, registry)
    return metrics
