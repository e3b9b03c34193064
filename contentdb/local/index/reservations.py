"""Reservations: bytes of a namespace's bound that are kept for content on its way in."""

from __future__ import annotations

from contentdb.light_typing import TYPE_CHECKING, NamedTuple
from contentdb.local.index import statements
from contentdb.local.index.bound import Bound

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from sqlite3 import Connection
    from typing import Final

    from contentdb.local.index import Entry

__all__ = ["Granted", "ReservationRow", "Reservations", "use_reservations"]

_SHARE: Final = 64
"""A step is at most this part of the bound, so that many writers find room beside each other."""


class Granted(NamedTuple):
    """The answer to a holder that asks for room."""

    bytes: int | None
    """What it has now; None if there is no room for what it needs."""
    max_bytes: int
    """The bound."""
    missing: int = 0
    """How many bytes more it needs than it has, if there is no room."""


class ReservationRow(NamedTuple):
    """A row of a reservation."""

    name: str
    """Of the file in ``ingest/`` whose lock shows that its owner lives; perhaps a number behind."""
    token: str
    bytes: int


class Reservations(Bound):
    """The transactions on reservations."""

    def reserve(self, name: str, token: str, needed: int, *, step: int) -> Granted | None:
        """Raise a reservation to what is needed, and up to ``step`` bytes more where there is room.

        The bound is looked at in the transaction that reserves. Not durable: after a power cut its
        owner is dead. Return None in a namespace without a bound.
        """
        values = {"namespace": self._namespace, "name": name, "token": token}

        def work(connection: Connection) -> Granted | None:
            row = connection.execute(statements.ROOM, values).fetchone()
            if row is None:
                return None
            most, taken, own = row
            free = most - taken + own
            if needed > max(free, own):
                return Granted(None, most, needed - own)
            granted = max(needed, min(needed + min(step, most // _SHARE), free))
            connection.execute(statements.RESERVE, values | {"bytes": granted})
            return Granted(granted, most)

        return self._database.write(work, lambda _connection: True, durable=False)

    def reserved_bytes(self, name: str) -> int:
        """Return how many bytes a holder has."""
        values = {"namespace": self._namespace, "name": name}
        row = self._database.one(statements.RESERVED_BYTES, values)
        return 0 if row is None else int(row[0])

    def lower_reservation(self, name: str, token: str, size: int) -> None:
        """Give back what a holder has beyond a size; all of it with 0. Not durable."""
        values = {"namespace": self._namespace, "name": name, "token": token, "bytes": size}
        statement = statements.LOWER_RESERVATION if size else statements.DROP_RESERVATION
        self._database.write(
            lambda connection: connection.execute(statement, values).rowcount,
            lambda _connection: True,
            durable=False,
        )

    def reservations(self) -> Iterator[ReservationRow]:
        """Yield all rows, in pages; the caller may change them meanwhile."""
        return map(ReservationRow._make, self._read_paged(statements.RESERVATIONS))


def use_reservations(connection: Connection, namespace: str, entries: Sequence[Entry]) -> None:
    """Turn into bytes what was reserved for entries that are recorded, in their transaction.

    The reservation of an ingest ends with its row.
    """
    for entry in entries:
        if entry.reserved is not None:
            values = {"namespace": namespace, "name": entry.reserved, "size": entry.size}
            if not connection.execute(statements.DROP_USED_RESERVATION, values).rowcount:
                connection.execute(statements.USE_RESERVATION, values)
