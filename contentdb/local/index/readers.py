"""Connections for reading: kept for reuse, used by one thread at a time, none across a fork.

A connection must not cross a fork, not even to be closed in the child
(https://sqlite.org/howtocorrupt.html, 2.6). Tried: a child whose parent held a snapshot takes
its parent's file locks for its own, the parent's close deletes the WAL under it, and its
commits are lost. A child made while another thread is inside SQLite hangs at a mutex that
no thread frees. So a fork waits until no thread is inside, and all connections are closed.
"""

from __future__ import annotations

import contextlib

from contentdb import forks
from contentdb.errors import UnsafeForkError
from contentdb.light_typing import TYPE_CHECKING, Generic, TypeVar
from contentdb.local.index import driver as sqlite3
from contentdb.local.index.connect import connect, refusal
from contentdb.local.index.live import Connection, check_safe, end
from contentdb.local.index.remaining import remaining
from contentdb.presence import Presence

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from typing import Any

    from contentdb.local.root_identity import Place

__all__ = ["Readers"]

T = TypeVar("T")


class Readers:
    """The connections that read the database; a fork waits until none is in use."""

    def __init__(self, path: str, place: Place) -> None:
        self._path = path
        self._place = place
        self._idle: list[sqlite3.Connection] = []
        self._inside = Presence()
        """Threads that may be inside SQLite."""
        self._streams: set[_Stream[Any]] = set()
        self._closed = False

    # -- reading -------------------------------------------------------------------------------

    def one(self, statement: str, values: dict[str, Any]) -> Any:  # noqa: ANN401 - a row of any shape
        """Run a statement that reads and return its first row, or None."""
        with self._inside.mine():
            connection = self._take()
            try:  # and not `_lend`, which would cost a fifth of a look-up
                row = connection.execute(statement, values).fetchone()
            except BaseException as error:
                end(connection)
                if isinstance(error, sqlite3.Error):
                    raise refusal(self._path, error) from error
                raise
            self._give_back(connection)
        return row

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Hold one state of the database over several statements; a fork waits for its end."""
        with self._inside.mine(), self.held() as connection:
            yield connection

    def stream(self, pieces: Generator[Iterator[T], None, None]) -> Iterator[Iterator[T]]:
        """Yield what a generator reads through `held`, piece by piece.

        A fork meanwhile reads the rest, for the parent and for the child.
        """
        stream = _Stream(pieces)
        self._streams.add(stream)
        try:
            while True:
                forks.check()
                if stream.is_lost:
                    raise UnsafeForkError(self._path)
                with self._inside.mine():
                    piece = next(stream.pieces, None)
                if piece is None:
                    return
                yield piece
        finally:
            self._streams.discard(stream)
            with self._inside.mine():
                stream.pieces.close()

    @contextlib.contextmanager
    def held(self) -> Iterator[sqlite3.Connection]:
        """Hold one state of the database while a `stream` lasts.

        A checkpoint cannot go beyond that state, so the WAL grows meanwhile.
        """
        with self._lend() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                if connection.in_transaction:  # some errors have ended it already
                    connection.execute("ROLLBACK")

    # -- connections ---------------------------------------------------------------------------

    @contextlib.contextmanager
    def _lend(self) -> Iterator[sqlite3.Connection]:
        connection = self._take()
        try:
            yield connection
        except BaseException as error:
            end(connection)
            if isinstance(error, sqlite3.Error):
                raise _find_raised(connection) or refusal(self._path, error) from error
            raise
        self._give_back(connection)

    def _take(self) -> sqlite3.Connection:
        try:
            return self._idle.pop()
        except IndexError:
            pass
        try:
            connection = connect(self._path, query_only=True)
        except sqlite3.Error as error:
            self._place.check()  # the file may be gone
            raise refusal(self._path, error) from error
        try:
            self._place.check()
        except BaseException:
            end(connection)
            raise
        return connection

    def _give_back(self, connection: sqlite3.Connection) -> None:
        try:
            check_safe(self._path)  # a signal handler may have forked while this thread was reading
        except BaseException:
            end(connection)
            raise
        self._idle.append(connection)
        if self._closed:
            self._close_idle()

    def _close_idle(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                end(self._idle.pop())

    def close(self) -> None:
        """Close idle connections now, and those in use as soon as they are given back."""
        self._closed = True
        self._close_idle()

    # -- forks ---------------------------------------------------------------------------------

    @property
    def is_inside(self) -> bool:
        """Whether this thread is inside SQLite."""
        return self._inside.is_inside

    @property
    def others_inside(self) -> bool:
        """Whether another thread is inside SQLite, or was at a fork that Python did not see."""
        return self._inside.others_inside

    def before_fork(self) -> None:
        """Wait until no other thread is inside SQLite, let none in, and close everything."""
        self._inside.keep_others_out()
        if self.is_inside:  # a signal handler forks; the connection of its thread stays as it is
            return
        for stream in list(self._streams):
            stream.drain()
        self._close_idle()

    def after_fork_in_child(self) -> None:
        """Forget the parent's threads; close connections that an unseen fork has copied."""
        self._inside.forget_others()
        self._close_idle()
        for stream in self._streams:
            stream.is_lost |= not stream.is_drained


def _find_raised(connection: sqlite3.Connection) -> BaseException | None:
    """Return the exception of a function that SQLite called: SQLite does not pass it on."""
    return connection.raised if isinstance(connection, Connection) else None


class _Stream(Generic[T]):
    """Pieces that are read one by one, from a snapshot that is held between them."""

    def __init__(self, pieces: Generator[Iterator[T], None, None]) -> None:
        self.pieces = pieces
        self.is_drained = False
        """Whether it uses no connection any more."""
        self.is_lost = False
        """Whether its connection crossed a fork and must not be used."""

    def drain(self) -> None:
        """Read the rest, and free the snapshot."""
        try:
            self.pieces = remaining(self.pieces)
        except BaseException:  # a signal handler interrupted it: what was read is lost
            self.is_lost = True
            raise
        self.is_drained = True
