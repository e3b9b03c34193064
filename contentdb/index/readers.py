"""Connections for reading: kept for reuse, lent to one thread at a time, none across a fork.

A connection must not cross a fork, not even to be closed in the child
(https://sqlite.org/howtocorrupt.html, 2.6). Tried: a child whose parent held a snapshot takes
its parent's file locks for its own, the parent's close deletes the WAL under it, and its
commits are lost. A child made while another thread is inside SQLite hangs at a mutex that
nobody frees. So a fork waits until no thread is inside, and then nothing is open.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from contentdb.errors import ContentDBError
from contentdb.index.opening import connect, refusal

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

__all__ = ["Readers"]

T = TypeVar("T")

_POLL_S: Final = 0.0005


class Readers:
    """All that reads the database, and its peace before a fork."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._idle: list[sqlite3.Connection] = []
        self._inside: list[None] = []
        """One item for each thread that may be inside SQLite; appends and pops are atomic."""
        self._streams: set[_Stream[Any]] = set()
        self._fork = threading.Lock()
        """Held from before a fork until after it."""
        self._forker = 0
        """The thread that forks meanwhile."""
        self._pid = os.getpid()
        self._closed = False

    # -- reading -------------------------------------------------------------------------------

    def one(self, statement: str, values: dict[str, Any]) -> Any:  # noqa: ANN401 - a row of any shape
        """Run a statement that reads and return its first row, or None."""
        self._enter()
        try:  # and not `_lent`, which would cost a fifth of a look-up
            connection = self._take()
            try:
                row = connection.execute(statement, values).fetchone()
            except BaseException as error:
                connection.close()
                if isinstance(error, sqlite3.Error):
                    raise refusal(self._path, error) from error
                raise
            self._give_back(connection)
        finally:
            self._inside.pop()
        return row

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Hold one state of the database over several statements. A fork waits for its end."""
        with self._working(), self.held() as connection:
            yield connection

    def stream(self, pieces: Generator[T, None, None]) -> Iterator[T]:
        """Hand on what a generator reads by way of `held`, piece by piece.

        A fork meanwhile reads the rest into memory, for the parent and for the child.
        """
        stream = _Stream(pieces)
        self._streams.add(stream)
        try:
            while True:
                with self._working():
                    piece = next(stream.pieces, None)
                if piece is None:
                    return
                yield piece
        finally:
            self._streams.discard(stream)
            with self._working():
                stream.pieces.close()

    @contextlib.contextmanager
    def held(self) -> Iterator[sqlite3.Connection]:
        """Hold one state of the database while a `stream` lasts.

        Checkpoints cannot pass it, so the WAL grows while it is held.
        """
        with self._lent() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                if connection.in_transaction:  # some errors have ended it already
                    connection.execute("ROLLBACK")

    # -- connections ---------------------------------------------------------------------------

    @contextlib.contextmanager
    def _lent(self) -> Iterator[sqlite3.Connection]:
        connection = self._take()
        try:
            yield connection
        except BaseException as error:
            connection.close()
            if isinstance(error, sqlite3.Error):
                raise refusal(self._path, error) from error
            raise
        self._give_back(connection)

    def _take(self) -> sqlite3.Connection:
        try:
            return self._idle.pop()
        except IndexError:
            pass
        try:
            return connect(self._path, query_only=True)
        except sqlite3.Error as error:
            raise refusal(self._path, error) from error

    def _give_back(self, connection: sqlite3.Connection) -> None:
        self._idle.append(connection)
        if self._closed:
            self._close_idle()

    def _close_idle(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                self._idle.pop().close()

    def close(self) -> None:
        """Close what is idle now, and what is in use as soon as it is given back."""
        self._closed = True
        self._close_idle()

    # -- forks ---------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _working(self) -> Iterator[None]:
        self._enter()
        try:
            yield
        finally:
            self._inside.pop()

    def _enter(self) -> None:
        self._inside.append(None)
        while self._forker and self._forker != threading.get_ident():
            self._inside.pop()
            with self._fork:
                pass
            self._inside.append(None)

    def before_fork(self) -> None:
        """Wait until no thread is inside SQLite, close everything, and let nobody in."""
        self._fork.acquire()
        self._pid = os.getpid()
        self._forker = threading.get_ident()
        while self._inside:
            time.sleep(_POLL_S)
        for stream in list(self._streams):
            stream.drain()
        self._close_idle()

    def after_fork(self) -> None:
        """Go on, in the parent and in the child."""
        if os.getpid() != self._pid:
            self._inside.clear()  # the parent's threads, on their way in
        self._forker = 0
        self._fork.release()


class _Stream(Generic[T]):
    """Pieces that are read one by one, with a snapshot held between them."""

    def __init__(self, pieces: Generator[T, None, None]) -> None:
        self.pieces = pieces

    def drain(self) -> None:
        """Read the rest into memory, which frees the snapshot."""
        rest: list[T] = []
        failure = None
        try:
            rest.extend(self.pieces)
        except ContentDBError as error:
            failure = error
        self.pieces = _later(rest, failure)


def _later(pieces: list[T], failure: ContentDBError | None) -> Generator[T, None, None]:
    yield from pieces
    if failure is not None:
        raise failure
