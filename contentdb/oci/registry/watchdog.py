"""Cuts off exchanges that stay below a least rate.

A socket's timeout restarts with each byte, so a server could hold a reader for ever by sending a
byte a minute: in headers, in a body, in the trailers after it. One thread checks all exchanges
under way, and shuts the socket of each that is past its deadline, or whose thread is to end. Each
transferred byte moves the deadline. Only the wait for an answer's first byte has a length of its
own: a registry may have to scan a layer, or a proxy to fetch it, before it can say anything.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING, Final, Self

from contentdb.oci.failures import BrokenError
from contentdb.oci.registry.interrupts import stop_flag

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Exchange", "Watchdog"]

_LOOK_EVERY_S: Final = 0.2


class Exchange:
    """One request and its answer, from the first byte sent to the last one read."""

    __slots__ = ("_dog", "advice", "cut", "deadline", "late", "sock", "stopped")

    def __init__(self, dog: Watchdog, sock: socket.socket) -> None:
        self._dog = dog
        self.deadline = dog.clock() + dog.grace_s
        """When the watchdog cuts it, on the watchdog's clock."""
        self.sock = sock
        self.cut = False
        """Whether the watchdog has cut it for being too slow."""
        self.late = "it took what we sent too slowly"
        """What to say of the wait that is under way, if it is cut or times out."""
        self.advice = ""
        """What to advise then."""
        self.stopped = stop_flag()
        """Set if the thread that began it is to end."""

    def is_over(self, now: float) -> bool:
        """Return whether to cut it."""
        return now > self.deadline or (self.stopped is not None and self.stopped.is_set())

    def await_answer(self, most_s: float) -> None:
        """Note that the request was sent: its answer may begin within ``most_s`` seconds."""
        self.late = f"it did not begin to answer within {most_s:g} seconds"
        self.advice = "if it needs longer, give it time with --timeout SECONDS"
        self.deadline = self._dog.clock() + most_s

    def answered(self) -> None:
        """Note the first byte of an answer: from here on the grace and the least rate hold."""
        self.late = "it sent too slowly"
        self.advice = ""
        self.deadline = self._dog.clock() + self._dog.grace_s

    def moved(self, count: int) -> None:
        """Note that ``count`` bytes were sent or received: extend the deadline, up to the grace."""
        dog = self._dog
        self.deadline = min(self.deadline + count / dog.least_rate, dog.clock() + dog.grace_s)

    def end(self) -> None:
        """Cut the exchange, however fast it is."""
        _cut((self,))

    def done(self) -> None:
        """Stop watching; twice is harmless."""
        self._dog.forget(self)


class Watchdog:
    """Watches exchanges; its thread lives from the first one to `close`, or to their end after it.

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
        """Raise if the exchanges, or those of this thread, are interrupted.

        Raises:
            BrokenError: `cut_all` was called and `resume` was not, or the thread is to end.
        """
        stopped = stop_flag()
        if self.interrupted.is_set() or (stopped is not None and stopped.is_set()):
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

    def pause(self, seconds: float) -> None:
        """Wait, as long as `check` does not raise."""
        until = time.monotonic() + seconds
        stopped = stop_flag()
        while (left := until - time.monotonic()) > 0:
            if self.interrupted.wait(left if stopped is None else min(left, _LOOK_EVERY_S)):
                return
            if stopped is not None and stopped.is_set():
                return

    def resume(self) -> None:
        """Allow exchanges again after `cut_all`."""
        self.interrupted.clear()

    def close(self) -> None:
        """Stop the thread once nothing is watched: a caller may still be reading."""
        self._stop.set()

    def __enter__(self) -> Self:
        """Use as a context."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _run(self) -> None:
        while self._is_needed():
            now = self.clock()
            with self._lock:
                late = [e for e in self._watched if e.is_over(now)]
                self._watched.difference_update(late)
            _cut(late)

    def _is_needed(self) -> bool:
        """Wait until it is time to look again; return False if that is never."""
        if not self._stop.wait(_LOOK_EVERY_S):
            return True
        with self._lock:
            self._running = bool(self._watched)
            if not self._running:
                return False
        time.sleep(_LOOK_EVERY_S)
        return True


def _cut(exchanges: Iterable[Exchange]) -> None:
    for exchange in exchanges:
        exchange.cut = True
        with contextlib.suppress(OSError):
            # The reader wakes with an end of file, whatever it is reading. Not close(): the
            # number of a closed descriptor may be another file's by then.
            exchange.sock.shutdown(socket.SHUT_RDWR)
