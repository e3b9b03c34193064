"""A pool of connections that opens one when none is free, in the thread that needs it.

So the error of a server that refuses reaches the caller at once, and no thread runs beside it.
"""

from __future__ import annotations

import select
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from contentdb.cluster.sql import Connection

__all__ = ["BusyError", "Pool"]


_IDLE: Final = 0
"""No transaction, and no statement under way: the driver's number for it."""
_ACTIVE: Final = 1
"""A statement is under way."""
_CANCEL_S: Final = 5.0
"""How long a server may take to end a statement; one that is gone is not waited for."""
_CANCEL_AGAIN_S: Final = 0.1


class BusyError(Exception):
    """No connection became free in time."""


class Pool:
    """At most so many connections; each is used by one thread at a time."""

    def __init__(self, connect: Callable[[], Connection[Any]], *, most: int, wait_s: float) -> None:
        self._connect = connect
        self._idle: list[Connection[Any]] = []
        self._free = threading.Semaphore(most)
        self._wait_s = wait_s
        self._closed = threading.Event()

    @contextmanager
    def lend(self) -> Iterator[Connection[Any]]:
        """Lend a connection for the block; what is under way after it is undone.

        Raises:
            BusyError: None became free.
        """
        if not self._free.acquire(timeout=self._wait_s):
            raise BusyError
        try:
            connection = self._take() or self._connect()
            try:
                yield connection
            finally:
                self._put_back(connection)
        finally:
            self._free.release()

    def _take(self) -> Connection[Any] | None:
        """Return an idle connection that its server has not ended meanwhile."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            if not connection.closed and not _has_news(connection):
                return connection
            with suppress(Exception):
                connection.close()

    def _put_back(self, connection: Connection[Any]) -> None:
        if connection.closed:
            return
        kept = False
        try:
            if connection.info.transaction_status != _IDLE:
                _undo(connection)
            kept = connection.info.transaction_status == _IDLE and not self._closed.is_set()
        finally:
            if not kept:
                connection.close()
        if kept:
            self._idle.append(connection)
            if self._closed.is_set():
                self.close()

    def close(self) -> None:
        """Close the idle connections, and each other one when it comes back."""
        self._closed.set()
        while self._idle:
            self._idle.pop().close()


def _has_news(connection: Connection[Any]) -> bool:
    """Return whether an idle connection's server has sent something: that it ends."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _undo(connection: Connection[Any]) -> None:
    """Undo what an exception has cut off; a connection that is no good after it is closed.

    An error of this is none of the caller's, who gets the exception.
    """
    with suppress(Exception):
        if connection.info.transaction_status != _ACTIVE:
            connection.execute("ROLLBACK")
            return
        try:
            _cancel(connection)
        finally:
            connection.close()


def _cancel(connection: Connection[Any]) -> None:
    """End a statement that may wait for a lock: closed only, the server would do it later."""
    deadline = time.monotonic() + _CANCEL_S
    while not connection.pgconn.flush():  # else the server has not got the whole of it
        connection.cancel_safe(timeout=_CANCEL_S)
        if _has_ended(connection, _CANCEL_AGAIN_S) or time.monotonic() > deadline:
            return  # it is asked again: a statement that has not begun yet does not hear it


def _has_ended(connection: Connection[Any], wait_s: float) -> bool:
    """Return whether a statement ends within this time."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    while True:
        while connection.pgconn.is_busy():
            if not poll.poll(wait_s * 1000):
                return False
            connection.pgconn.consume_input()
        if connection.pgconn.get_result() is None:
            return True
