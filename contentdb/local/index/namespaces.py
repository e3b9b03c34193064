"""The namespaces that the rows of an index name, those that were made, and the store's own id."""

from __future__ import annotations

from contentdb.light_typing import TYPE_CHECKING, NamedTuple
from contentdb.local.index import statements
from contentdb.local.index.bound import Bound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from sqlite3 import Connection
    from typing import Final

__all__ = ["Namespace", "Namespaces"]

_ROW: Final = "namespace:"
"""What the names of settings begin with that keep a namespace and its labels."""
_ID: Final = "uuid"
_CONTENT: Final = ("blobs", "ingests", "tags", "leases")
"""The columns of `contentdb.local.index.statements.NAMESPACE_CONTENT`."""


class Namespace(NamedTuple):
    """What the index knows of a namespace."""

    labels: Mapping[str, str] | None
    """Those it was made with; None if no client made it."""
    holds: tuple[str, ...]
    """Of what it has rows: blobs, ingests, tags, leases."""

    @property
    def is_there(self) -> bool:
        """Whether it was made, or has anything."""
        return self.labels is not None or bool(self.holds)


class Namespaces(Bound):
    """Transactions on any namespace, whichever one the index is bound to."""

    def namespaces(self) -> Iterator[str]:
        """Yield the names in order, one look-up each, however many rows they have."""
        name = ""
        while True:
            (following,) = self._database.one(statements.NEXT_NAMESPACE, {"after": name})
            if following is None:
                return
            name = following
            yield name

    def namespace(self, name: str) -> Namespace:
        """Return what there is of a namespace."""
        with self._database.snapshot() as connection:
            return _find(connection, name)

    def edit_namespace(
        self, name: str, edit: Callable[[Namespace], Mapping[str, str] | None]
    ) -> Mapping[str, str] | None:
        """Keep for a namespace the labels that ``edit`` returns; None unmakes it. Durable.

        What ``edit`` raises is raised, and nothing changes. It may be called more than once.
        """
        labels: Mapping[str, str] | None = None

        def work(connection: Connection) -> Mapping[str, str] | None:
            nonlocal labels
            labels = edit(_find(connection, name))
            if labels is None:
                connection.execute(statements.DROP_SETTING, {"name": _ROW + name})
            else:
                import json  # few give a namespace labels

                value = json.dumps(dict(labels), ensure_ascii=False, sort_keys=True)
                connection.execute(statements.SET_SETTING, {"name": _ROW + name, "value": value})
            return labels

        return self._database.write(
            work, lambda connection: _find(connection, name).labels == labels, durable=True
        )

    def store_id(self) -> str | None:
        """Return the id that the store was given by `make_store_id`."""
        return self._setting(_ID)

    def make_store_id(self) -> str:
        """Return the store's id; give it a random one if it has none. Durable."""

        def work(connection: Connection) -> str:
            row = connection.execute(statements.FIND_SETTING, {"name": _ID}).fetchone()
            if row is not None:
                return str(row[0])
            from uuid import uuid4  # few processes make one

            made = str(uuid4())
            connection.execute(statements.SET_SETTING, {"name": _ID, "value": made})
            return made

        def landed(connection: Connection) -> bool:
            return connection.execute(statements.FIND_SETTING, {"name": _ID}).fetchone() is not None

        return self._database.write(work, landed, durable=True)


def _find(connection: Connection, name: str) -> Namespace:
    row = connection.execute(statements.FIND_SETTING, {"name": _ROW + name}).fetchone()
    found = connection.execute(statements.NAMESPACE_CONTENT, {"namespace": name}).fetchone()
    holds = tuple(what for what, has in zip(_CONTENT, found, strict=True) if has)
    if row is None:
        return Namespace(None, holds)
    import json  # as above

    return Namespace(json.loads(row[0]), holds)
