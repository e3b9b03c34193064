"""How much one client may have open at once, so that no client can starve the others."""

from __future__ import annotations

from collections import defaultdict
from threading import Lock
from typing import Final, NamedTuple

import grpc

from contentdb.server.statuses import Refusal

__all__ = ["Gate", "Limits", "client_of"]

_MIB: Final = 1024 * 1024


class Limits(NamedTuple):
    """What a server bears. All clients of a unix socket, one user's, count as one client."""

    message_bytes: int = 16 * _MIB
    """Of one message, either way; containerd's own limit. Larger ones get ResourceExhausted."""
    calls: int = 256
    """At once, of all clients; each takes a thread."""
    client_calls: int = 128
    """At once, of one client."""
    client_ingests: int = 64
    """Streams of Write at once, of one client."""
    namespaces: int = 64
    """In use at once."""


class Gate:
    """Counts what each client has open."""

    def __init__(self, limit: int, what: str) -> None:
        """Let each client have ``limit`` open; ``what`` they are is for the message."""
        self._limit = limit
        self._what = what
        self._open: defaultdict[str, int] = defaultdict(int)
        self._lock = Lock()

    def enter(self, client: str) -> None:
        """Count one more, until `leave`; `Refusal` (ResourceExhausted) at the limit."""
        with self._lock:
            if self._open[client] >= self._limit:
                raise Refusal(
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                    f"this client has {self._limit} {self._what} open, the most there may be: "
                    f"end one first",
                )
            self._open[client] += 1

    def leave(self, client: str) -> None:
        """Count one less."""
        with self._lock:
            self._open[client] -= 1
            if not self._open[client]:
                del self._open[client]


def client_of(peer: str) -> str:
    """Who a peer is: the host without the port for TCP, all of a socket's users as one."""
    return peer.rpartition(":")[0] if peer.startswith(("ipv4:", "ipv6:")) else peer
