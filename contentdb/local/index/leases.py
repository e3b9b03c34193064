"""Leases in the index: begun, found, given items, ended. All but the letting go is durable."""

from __future__ import annotations

from contentdb.errors import LeaseExistsError
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.index import LeaseKey, LeaseRow, statements
from contentdb.local.index.bound import Bound
from contentdb.local.index.leasing import (
    CONTENT,
    add_items,
    check_lives,
    is_alive,
    is_kept,
    lease_values,
)
from contentdb.local.index.references import queue

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from sqlite3 import Connection
    from typing import Any, Final

    from contentdb.digest import Digest

__all__ = ["Leases"]

_PAGE_ROWS: Final = 250
_ITEMS_AT_ONCE: Final = 100
"""Items that are let go of in one transaction: a few milliseconds under the write lock."""


class Leases(Bound):
    """The transactions on leases."""

    def begin_lease(self, row: LeaseRow, labels: Mapping[str, str]) -> None:
        """Begin a lease; durable. The file of a held one is locked already.

        Raises:
            LeaseExistsError: A lease has that id, perhaps one that was ended just now.
        """
        values = self._lease_key(row.key)
        news = {"expires": row.expires_ns, "flat": row.flat, "file": row.file, "holder": row.holder}

        def work(connection: Connection) -> None:
            if connection.execute(statements.BEGIN_LEASE, values | news).rowcount != 1:
                raise LeaseExistsError(row.id)
            rows = [values | {"key": key, "value": value} for key, value in labels.items()]
            connection.executemany(statements.SET_LEASE_LABEL, rows)

        self._database.write(
            work,
            lambda connection: _find(connection, values) == row,
            durable=True,
        )

    def lease_row(self, id_: str) -> LeaseRow | None:
        """Return the row of a lease, whether it lives or not."""
        row = self._database.one(statements.FIND_LEASE, {"namespace": self._namespace, "id": id_})
        return None if row is None else LeaseRow._make(row)

    def lease_rows(self) -> Iterator[tuple[LeaseRow, dict[str, str]]]:
        """Yield all rows with their labels, by id, in pages; the caller may end leases."""
        values = {"namespace": self._namespace, "after": "", "limit": _PAGE_ROWS}
        while page := self._read_leases(values):
            yield from page
            values["after"] = page[-1][0].id

    def _read_leases(self, values: dict[str, Any]) -> list[tuple[LeaseRow, dict[str, str]]]:
        with self._database.snapshot() as connection:
            rows = connection.execute(statements.LEASES, values).fetchall()
            return [(LeaseRow._make(row), self._labels(connection, row[0])) for row in rows]

    def _labels(self, connection: Connection, id_: str) -> dict[str, str]:
        values = {"namespace": self._namespace, "id": id_}
        return dict(connection.execute(statements.FIND_LEASE_LABELS, values).fetchall())

    def lease_labels(self, id_: str) -> dict[str, str]:
        """Return the labels of a lease."""
        with self._database.snapshot() as connection:
            return self._labels(connection, id_)

    def keeps(self, lease: LeaseKey, digest: Digest) -> bool:
        """Return whether a lease lives and has a blob among its items."""
        with self._database.snapshot() as connection:
            return is_alive(connection, self._namespace, lease) and is_kept(
                connection, self._namespace, lease, digest
            )

    def lease_items(self, lease: LeaseKey, *, ended: bool = False) -> Iterator[tuple[str, str]]:
        """Yield kind and name of each item, in their order, in pages; also if it has ``ended``.

        Raises:
            LeaseEndedError: The lease has ended.
        """
        values = self._lease_key(lease) | {"kind": "", "after": "", "limit": _PAGE_ROWS}
        while True:
            with self._database.snapshot() as connection:
                if not ended:
                    check_lives(connection, self._namespace, lease)
                rows = connection.execute(statements.LEASE_ITEMS, values).fetchall()
            if not rows:
                return
            yield from rows
            values["kind"], values["after"] = rows[-1]

    def add_lease_item(self, lease: LeaseKey, kind: str, name: str) -> None:
        """Add an item, whether it is there or not; durable.

        Raises:
            LeaseEndedError: The lease has ended.
        """
        values = self._lease_key(lease) | {"kind": kind, "item": name}
        self._database.write(
            lambda connection: add_items(connection, self._namespace, lease, [(kind, name)]),
            lambda connection: (
                connection.execute(statements.HAS_LEASE_ITEM, values).fetchone() is not None
            ),
            durable=True,
        )

    def drop_lease_item(self, lease: LeaseKey, kind: str, name: str) -> None:
        """Drop an item, and queue what it kept; durable.

        Raises:
            LeaseEndedError: The lease has ended.
        """
        values = self._lease_key(lease) | {"kind": kind, "item": name}

        def work(connection: Connection) -> None:
            check_lives(connection, self._namespace, lease)
            self._drop_items(connection, values, [(kind, name)])

        self._database.write(
            work,
            lambda connection: (
                connection.execute(statements.HAS_LEASE_ITEM, values).fetchone() is None
            ),
            durable=True,
        )

    def _drop_items(
        self, connection: Connection, values: dict[str, Any], items: list[tuple[str, str]]
    ) -> None:
        rows = [values | {"kind": kind, "item": name} for kind, name in items]
        connection.executemany(statements.DROP_LEASE_ITEM, rows)
        queue(connection, self._namespace, [name for kind, name in items if kind == CONTENT])

    def end_lease(self, lease: LeaseKey) -> bool:
        """End a lease, which keeps nothing from then on; durable. Return False if it has ended.

        `let_go_of_lease` is to follow; if it does not, a collection does that.
        """
        values = self._lease_key(lease)

        def work(connection: Connection) -> bool:
            lives = is_alive(connection, self._namespace, lease)
            connection.execute(statements.EXPIRE_LEASE, values)
            return lives

        def landed(connection: Connection) -> bool:
            return not is_alive(connection, self._namespace, lease)

        return self._database.write(work, landed, durable=True)

    def let_go_of_lease(self, lease: LeaseKey) -> Iterator[None]:
        """Remove the items of a lease that has ended, some in each step, and last its row.

        Each step queues what it lets go of. Not durable: what comes back is let go of again.
        """
        values = self._lease_key(lease) | {"kind": "", "after": "", "limit": _ITEMS_AT_ONCE}

        def work(connection: Connection) -> bool:
            row = _find(connection, values)
            if row is None or row.key != lease or is_alive(connection, self._namespace, lease):
                return False
            items = connection.execute(statements.LEASE_ITEMS, values).fetchall()
            self._drop_items(connection, values, items)
            connection.execute(statements.DROP_LEASE, values)
            return _find(connection, values) == row

        while self._database.write(work, lambda _connection: False, durable=False):
            yield

    def _lease_key(self, lease: LeaseKey) -> dict[str, Any]:
        return lease_values(self._namespace, lease)


def _find(connection: Connection, values: dict[str, Any]) -> LeaseRow | None:
    row = connection.execute(statements.FIND_LEASE, values).fetchone()
    return None if row is None else LeaseRow._make(row)
