"""The one seam to PostgreSQL: a pool of connections, transactions, tries, and typed errors.

What may have happened although its answer was lost is never sent again here, unless its caller says
that doing it twice does no harm.
"""

# Long: what is tried again, cancelled or unknown is decided in one place.

from __future__ import annotations

import random
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg
from psycopg import Connection, errors, pq
from psycopg.types.json import Jsonb

from contentdb.cluster.connections import BusyError, Pool
from contentdb.errors import (
    CommitUnknownError,
    IndexBusyError,
    IndexFailedError,
    InvalidArgumentError,
    NoSpaceError,
    StorageError,
)
from contentdb.logs import inform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Row = tuple[Any, ...]
    Values = Mapping[str, Any]

__all__ = [
    "NOW_NS",
    "Connection",
    "Database",
    "Jsonb",
    "check_url",
    "shown",
    "socket_of",
    "take_notices",
]

T = TypeVar("T")

DEADLINE_S: Final = 30.0
"""Seconds after which a database that does not answer is an error."""
_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 2.0
_CONNECTIONS: Final = 8
_ALIVE: Final[dict[str, Any]] = {
    "connect_timeout": 5,
    "keepalives_idle": 3,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 6000,
}
"""A server that is gone is noticed within six seconds."""
_ALIVE_THERE: Final = (
    "SET tcp_keepalives_idle = 3; SET tcp_keepalives_interval = 1; SET tcp_keepalives_count = 3;"
    "SET tcp_user_timeout = 6000; SET idle_session_timeout = 0"
)
"""The server, too, notices within six seconds that this host is gone, and frees its locks."""
_NOT_IN_THE_WAY: Final = "SET idle_in_transaction_session_timeout = '10s'; SET lock_timeout = '5s'"
"""A process that stands still in a transaction loses it; others wait for it no longer."""
_SHORT: Final = "SET jit = off"
"""The statements are short: to compile one takes a hundred times as long as to run it."""

NOW_NS: Final = "(extract(epoch FROM clock_timestamp()) * 1000000000)::bigint"
"""The server's clock, as nanoseconds since the epoch: one clock for all hosts."""

_AGAIN: Final = (
    errors.DeadlockDetected,
    errors.SerializationFailure,
    errors.LockNotAvailable,
    errors.IdleInTransactionSessionTimeout,
    errors.ForeignKeyViolation,
    errors.TooManyConnections,
)
"""Nothing has happened, and another try may help: one that sees what has come meanwhile."""


def check_url(url: str) -> str:
    """Return the address of a database; refuse one with a password, which others could read.

    Raises:
        InvalidArgumentError: It is malformed, or holds a password.
    """
    try:
        given = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        # libpq's text has parts of the address, perhaps of a password
        secret = "password" in url or ":" in url.partition("://")[2].rpartition("@")[0]
        reason = "" if secret else f": {error}"
        raise InvalidArgumentError(f"{shown(url)} is no address of a database{reason}") from None
    if found := [name for name in ("password", "sslpassword") if name in given]:
        raise InvalidArgumentError(
            f"{shown(url)} holds {' and '.join(found)}, which process lists and logs would show: "
            "put a password into ~/.pgpass, or name its file in PGPASSFILE"
        )
    return url


def shown(url: str) -> str:
    """Return an address without its password and options; only its scheme if it is malformed."""
    scheme, found, rest = url.partition("://")
    before, at, after = rest.rpartition("@")
    if not found or "?" in before:
        return "postgresql://…"
    return f"{scheme}://{before.partition(':')[0]}{at}{after.partition('?')[0]}"


def socket_of(connection: Connection[Row]) -> int:
    """Return the descriptor of a connection, to wait for what its server sends."""
    return connection.pgconn.socket


def take_notices(connection: Connection[Row]) -> Iterator[str]:
    """Yield the payloads that came to a connection; raise `IndexFailedError` if it is broken."""
    try:
        connection.pgconn.consume_input()
        while found := connection.pgconn.notifies():
            yield found.extra.decode(errors="replace")
    except psycopg.Error as error:
        raise IndexFailedError("session", str(error).strip(), what="database") from error
    if connection.pgconn.status != pq.ConnStatus.OK:
        raise IndexFailedError("session", "the connection is broken", what="database")


class _LostError(Exception):
    """The connection broke while a statement or a COMMIT was under way."""


class Database:
    """The database of one store, for all threads of a process."""

    def __init__(self, url: str) -> None:
        self.url = check_url(url)
        self.place = shown(url)
        self._pool = Pool(self._lendable, most=_CONNECTIONS, wait_s=DEADLINE_S)

    def close(self) -> None:
        """Close the pool's connections."""
        self._pool.close()

    # -- statements ----------------------------------------------------------------------------

    def rows(self, statement: str, values: Values | None = None) -> list[Row]:
        """Run one statement that may be run twice without harm; return its rows."""
        return self.transact(lambda one: one.execute(statement, values).fetchall(), alone=True)

    def change(self, statement: str, values: Values | None = None) -> int:
        """Run one change that may be made twice without harm; return how many rows it changed."""
        return self.transact(lambda one: one.execute(statement, values).rowcount, alone=True)

    def transact(
        self,
        work: Callable[[Connection[Row]], T],
        *,
        alone: bool = False,
        repeatable: bool = True,
        lost: Callable[[], T] | None = None,
    ) -> T:
        """Run the work in one transaction; durable on return.

        Args:
            work: Called with a connection; it may be called again after a failure.
            alone: It is one statement, so needs no BEGIN.
            repeatable: It does no harm if it is done again although it was done.
            lost: Called instead of another try when the answer of a COMMIT was lost.

        Raises:
            CommitUnknownError: The COMMIT's answer was lost, and the work is not repeatable.
            IndexFailedError: The database refused, or did not answer until the deadline.
        """

        def once() -> T:
            try:
                return self._run(work, alone=alone)
            except _LostError as error:
                if lost is not None:
                    return lost()
                if not repeatable:
                    reason = f"the answer to a change was lost: {error}; do the same again"
                    raise CommitUnknownError(self.place, reason, what="database") from error
                raise

        return self._until_deadline(once)

    def _until_deadline(self, once: Callable[[], T]) -> T:
        """Call, again and again while the database does not answer."""
        deadline = time.monotonic() + DEADLINE_S
        pause_s = _PAUSE_S
        while True:
            try:
                return once()
            except (_LostError, *_AGAIN, psycopg.OperationalError) as error:
                problem: Exception = error
                if not _may_pass(error):
                    raise self.failure(error) from error
            if time.monotonic() + pause_s > deadline:
                raise self.failure(problem) from problem
            inform("cluster.sql", "the database did not answer; it is asked again",
                   place=self.place, error=problem)  # fmt: skip
            time.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _run(self, work: Callable[[Connection[Row]], T], *, alone: bool) -> T:
        try:
            with self._pool.lend() as connection:
                if alone:
                    return self._attempt(connection, lambda: work(connection))
                connection.execute("BEGIN")
                result = work(connection)
                self._attempt(connection, lambda: connection.execute("COMMIT"))
                return result
        except BusyError:
            reason = f"all {_CONNECTIONS} connections were in use for {DEADLINE_S:.0f} s"
            raise IndexBusyError(self.place, reason, what="database") from None
        except (*_AGAIN, psycopg.OperationalError):
            raise
        except psycopg.Error as error:
            raise self.failure(error) from error

    @staticmethod
    def _attempt(connection: Connection[Row], call: Callable[[], T]) -> T:
        try:
            return call()
        except psycopg.OperationalError as error:
            if connection.broken:
                raise _LostError(str(error).strip()) from error
            raise

    def failure(self, error: Exception) -> IndexFailedError | StorageError:
        """Return the error of this package for one of the driver's."""
        reason = str(error).partition("\n")[0].strip() or type(error).__name__
        if isinstance(error, errors.DiskFull):
            return NoSpaceError("write", self.place, OSError(28, reason))
        if isinstance(error, errors.LockNotAvailable | errors.DeadlockDetected):
            return IndexBusyError(self.place, reason, what="database")
        return IndexFailedError(self.place, reason, what="database")

    # -- connections of their own ----------------------------------------------------------------

    def connect(self) -> Connection[Row]:
        """Open a connection outside the pool; the caller closes it."""
        try:
            return self._connect()
        except psycopg.Error as error:
            raise self.failure(error) from error

    def prepare(self, work: Callable[[Connection[Row]], object]) -> Connection[Row]:
        """Open a connection outside the pool, for which the work has been done.

        The work may be done twice. It is tried again until the deadline, as in `transact`.
        """

        def once() -> Connection[Row]:
            connection = self._connect()
            try:
                work(connection)
            except BaseException:
                connection.close()
                raise
            return connection

        try:
            return self._until_deadline(once)
        except psycopg.Error as error:
            raise self.failure(error) from error

    def _lendable(self) -> Connection[Row]:
        return self._connect(f"{_ALIVE_THERE}; {_NOT_IN_THE_WAY}; {_SHORT}")

    def _connect(self, settings: str = _ALIVE_THERE) -> Connection[Row]:
        connection = psycopg.connect(
            self.url, autocommit=True, application_name="contentdb", **_ALIVE
        )
        try:
            connection.execute(settings)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def streaming(self, statement: str, values: Values) -> Iterator[Iterator[Row]]:
        """Stream the rows of one statement, as of its start, in bounded memory."""
        connection = self.connect()
        try:
            yield self._stream(connection, statement, values)
        finally:
            connection.close()

    def _stream(self, connection: Connection[Row], statement: str, values: Values) -> Iterator[Row]:
        try:
            yield from connection.cursor().stream(statement, values)
        except psycopg.Error as error:
            raise self.failure(error) from error


def _may_pass(error: Exception) -> bool:
    """Return whether another try may help; a wrong password or name never does."""
    if isinstance(error, errors.InvalidPassword | errors.InvalidAuthorizationSpecification):
        return False
    text = str(error)
    return not any(
        sign in text
        for sign in (
            "does not exist",
            "authentication failed",
            "no pg_hba.conf entry",
            "no password supplied",
            "could not translate host name",
        )
    )
