"""Cuts off exchanges that stay below a least rate.

A socket's timeout restarts with each byte, so a server could hold a reader for ever by sending a
byte a minute: in headers, in a body, in the trailers after it. One thread checks all exchanges
under way, and shuts the socket of each that is past its deadline. Each transferred byte moves
the deadline.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING, Final, Self

from contentdb.oci.failures import BrokenError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Exchange", "Watchdog"]

_LOOK_EVERY_S: Final = 0.2


class Exchange:
    """One request and its answer, from the first byte sent to the last one read."""

    __slots__ = ("_dog", "cut", "deadline", "sock")

    def __init__(self, dog: Watchdog, sock: socket.socket) -> None:
        self._dog = dog
        self.deadline = dog.clock() + dog.grace_s
        """When the watchdog cuts it, on the watchdog's clock."""
        self.sock = sock
        self.cut = False
        """Whether the watchdog has cut it for being too slow."""

    def moved(self, count: int) -> None:
        """Note that ``count`` bytes were sent or received: extend the deadline, up to the grace."""
        dog = self._dog
        self.deadline = min(self.deadline + count / dog.least_rate, dog.clock() + dog.grace_s)

    def done(self) -> None:
        """Stop watching; twice is harmless."""
        self._dog.forget(self)


class Watchdog:
    """Watches exchanges; its thread lives from the first one to `close`.

    Args:
        grace_s: Seconds that an exchange may stay silent at first.
        least_rate: Bytes per second that it must sustain afterwards.
        clock: A monotonic clock in seconds.
    """

    def __init__(
        self, *, grace_s: float, least_rate: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.grace_s = grace_s
        self.least_rate = least_rate
        self.clock = clock
        self._lock = threading.Lock()
        self._watched: set[Exchange] = set()
        self._running = False
        self._stop = threading.Event()
        self.interrupted = threading.Event()
        """Set from `cut_all` to `resume`; threads that wait for other things check it."""

    def check(self) -> None:
        """Raise if the exchanges are interrupted.

        Raises:
            BrokenError: `cut_all` was called and `resume` was not.
        """
        if self.interrupted.is_set():
            raise BrokenError("interrupted", slow=True)

    def watch(self, sock: socket.socket) -> Exchange:
        """Begin to watch a socket.

        Raises:
            BrokenError: `cut_all` was called and `resume` was not.
        """
        exchange = Exchange(self, sock)
        with self._lock:
            self.check()
            self._watched.add(exchange)
            if not self._running:
                self._running = True
                threading.Thread(
                    target=self._run, name="contentdb-oci-watchdog", daemon=True
                ).start()
        return exchange

    def forget(self, exchange: Exchange) -> None:
        """Stop watching an exchange."""
        with self._lock:
            self._watched.discard(exchange)

    def cut_all(self) -> None:
        """Cut all exchanges, however fast, and refuse new ones until `resume`."""
        with self._lock:
            self.interrupted.set()
            under_way, self._watched = self._watched, set()
        _cut(under_way)

    def resume(self) -> None:
        """Allow exchanges again after `cut_all`."""
        self.interrupted.clear()

    def close(self) -> None:
        """Stop the thread."""
        self._stop.set()

    def __enter__(self) -> Self:
        """Use as a context."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_EVERY_S):
            now = self.clock()
            with self._lock:
                late = [e for e in self._watched if now > e.deadline]
                self._watched.difference_update(late)
            _cut(late)


def _cut(exchanges: Iterable[Exchange]) -> None:
    for exchange in exchanges:
        exchange.cut = True
        with contextlib.suppress(OSError):
            # The reader wakes with an end of file, whatever it is reading. Not close(): the
            # number of a closed descriptor may be another file's by then.
            exchange.sock.shutdown(socket.SHUT_RDWR)
