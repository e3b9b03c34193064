"""Limits how much clients may have open at once, so that none can starve the others."""

from __future__ import annotations

import logging
from collections import Counter
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

import grpc

from contentdb.wire.statuses import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Limits", "Place", "Places", "Room"]

_log = logging.getLogger("contentdb.server")

_MIB: Final = 1024 * 1024
_MOST_ANSWER_BYTES: Final = 15 * _MIB
"""Limit for the records of a listing in one answer; containerd's clients take 16 MiB."""


class Room:
    """What is left of the one message in which a listing is answered."""

    def __init__(self, what: str, advice: str = "") -> None:
        self._said = f"{what} take more than the {_MOST_ANSWER_BYTES >> 20} MiB of one answer"
        self._said += f": {advice}" if advice else ""
        self._left = _MOST_ANSWER_BYTES

    def take(self, size_bytes: int) -> None:
        """Take what a record needs; raise `Refusal` (ResourceExhausted) if it does not fit."""
        self._left -= size_bytes
        if self._left < 0:
            raise Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, self._said)


class Limits(NamedTuple):
    """How much clients may have open on a server."""

    message_bytes: int = 16 * _MIB
    """Of one message, in or out; containerd's limit. A larger one gets ResourceExhausted."""
    calls: int = 256
    """Open calls of all clients; each takes a thread."""
    client_calls: int = 128
    """Open calls of one host over TCP. gRPC does not tell a unix socket's clients apart."""
    client_ingests: int = 64
    """Open Write streams of one host over TCP."""
    silence_s: float = 10.0
    """When all places are taken, a call whose client was silent this long may be cancelled."""
    namespaces: int = 64
    """Namespaces in use at once."""


class Place:
    """The place of one open call."""

    __slots__ = ("_cancel", "_places", "host", "namespace", "rpc", "silent_since")

    def __init__(
        self,
        places: Places,
        rpc: str,
        host: str | None,
        namespace: str | None,
        cancel: Callable[[], object],
    ) -> None:
        self._places = places
        self._cancel = cancel
        self.rpc = rpc
        self.host = host
        self.namespace = namespace
        self.silent_since: float | None = None
        """Since when the call waits for its client to send or to read; None while it works."""

    @property
    def is_ingest(self) -> bool:
        """Whether the call is a Write."""
        return self.rpc == "Write"

    def leave(self) -> None:
        """Free the place; twice is harmless."""
        self._places.leave(self)

    def evict(self) -> None:
        """Cancel the call to free its place for another one."""
        facts = {"rpc": self.rpc, "client": self.host or "unix"}
        _log.warning("a silent call gave way to another", extra={"facts": facts})
        self._cancel()


class Places:
    """The places of all open calls.

    When all are taken, the server cancels the call whose client has been silent the longest, so
    that clients with idle streams do not lock others out. A cancelled Write's bytes are kept.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._open: set[Place] = set()
        self._namespaces: Counter[str] = Counter()
        self._calls: Counter[str] = Counter()
        self._ingests: Counter[str] = Counter()
        self._lock = Lock()

    def enter(
        self, rpc: str, peer: str, cancel: Callable[[], object], namespace: str | None = None
    ) -> Place:
        """Take a place for a call; raise `Refusal` (ResourceExhausted) at a limit."""
        place = Place(self, rpc, _host_of(peer), namespace, cancel)
        with self._lock:
            if place.host is not None:
                self._check_host(place)
            evicted = self._choose_evicted(place)
            for silent in evicted:
                self._remove(silent)
            self._add(place)
        for silent in evicted:
            silent.evict()
        return place

    def leave(self, place: Place) -> None:
        """Free a place, unless the call was cancelled and has lost it already."""
        with self._lock:
            if place in self._open:
                self._remove(place)

    def _check_host(self, place: Place) -> None:
        counts = [(self._calls, self._limits.client_calls, "calls")]
        if place.is_ingest:
            counts.append((self._ingests, self._limits.client_ingests, "ingests"))
        for count, limit, what in counts:
            if count[place.host or ""] >= limit:
                raise _too_many(f"this client has {limit} {what} open")

    def _choose_evicted(self, place: Place) -> list[Place]:
        """Choose the calls to cancel; at the limit of namespaces, all calls of one namespace."""
        used, name = self._namespaces, place.namespace
        if name is not None and name not in used and len(used) >= self._limits.namespaces:
            calls = [[one for one in self._open if one.namespace == each] for each in used]
            return self._choose_silent(calls, f"{self._limits.namespaces} namespaces are in use")
        if len(self._open) >= self._limits.calls:
            calls = [[one] for one in self._open]
            return self._choose_silent(calls, f"{self._limits.calls} calls are open")
        return []

    def _choose_silent(self, groups: list[list[Place]], what: str) -> list[Place]:
        """Choose the group whose calls have all been silent longest, or raise `Refusal`."""
        now = monotonic()
        since = [max(now if one.silent_since is None else one.silent_since for one in group)
                 for group in groups]  # fmt: skip
        longest = min(since)
        if longest > now - self._limits.silence_s or longest == now:
            raise _too_many(what)
        return groups[since.index(longest)]

    def _add(self, place: Place) -> None:
        self._open.add(place)
        for count, key in self._counts(place):
            count[key] += 1

    def _remove(self, place: Place) -> None:
        self._open.discard(place)
        for count, key in self._counts(place):
            count[key] -= 1
            if not count[key]:
                del count[key]

    def _counts(self, place: Place) -> Iterator[tuple[Counter[str], str]]:
        if place.namespace is not None:
            yield self._namespaces, place.namespace
        if place.host is not None:
            yield self._calls, place.host
            if place.is_ingest:
                yield self._ingests, place.host


def _too_many(what: str) -> Refusal:
    return Refusal(
        grpc.StatusCode.RESOURCE_EXHAUSTED, f"{what}, the most there may be: end one first"
    )


def _host_of(peer: str) -> str | None:
    """Return a TCP client's host; None for a unix socket, whose clients gRPC does not name."""
    return peer.rpartition(":")[0] if peer.startswith(("ipv4:", "ipv6:")) else None
