"""The policy of a namespace, and the totals that its bound goes by.

Totals are kept by triggers on the tables that they sum up, so no transaction can change one without
the other, and no process can forget to. The first bound of a store makes the triggers, and the end
of the last one removes them: a store without a bound has none to pay for.
"""

from __future__ import annotations

from contentdb.light_typing import TYPE_CHECKING, NamedTuple
from contentdb.local.index import statements
from contentdb.local.index.bound import Bound
from contentdb.values import Policy

if TYPE_CHECKING:
    from datetime import timedelta
    from sqlite3 import Connection
    from typing import Final

__all__ = ["Policies", "Totals", "begin_bounds", "find_wrong_totals"]

_TRIGGERS: Final = {
    "totals_of_new_blob": """
AFTER INSERT ON blobs WHEN NEW.state = 0 BEGIN
    UPDATE totals SET blobs = blobs + 1, bytes = bytes + NEW.size
    WHERE namespace = NEW.namespace;
END
""",
    "totals_of_changed_blob": """
AFTER UPDATE OF state, size ON blobs BEGIN
    UPDATE totals SET blobs = blobs + (NEW.state = 0) - (OLD.state = 0),
        bytes = bytes + (NEW.state = 0) * NEW.size - (OLD.state = 0) * OLD.size
    WHERE namespace = NEW.namespace;
END
""",
    "totals_of_dropped_blob": """
AFTER DELETE ON blobs WHEN OLD.state = 0 BEGIN
    UPDATE totals SET blobs = blobs - 1, bytes = bytes - OLD.size
    WHERE namespace = OLD.namespace;
END
""",
    "totals_of_new_reservation": """
AFTER INSERT ON reservations BEGIN
    UPDATE totals SET reserved = reserved + NEW.bytes WHERE namespace = NEW.namespace;
END
""",
    "totals_of_changed_reservation": """
AFTER UPDATE OF bytes ON reservations BEGIN
    UPDATE totals SET reserved = reserved + NEW.bytes - OLD.bytes
    WHERE namespace = NEW.namespace;
END
""",
    "totals_of_dropped_reservation": """
AFTER DELETE ON reservations BEGIN
    UPDATE totals SET reserved = reserved - OLD.bytes WHERE namespace = OLD.namespace;
END
""",
    # However an ingest ends, by its commit, an abort or a prune, it gives back what it has.
    "reservation_of_ended_ingest": """
AFTER DELETE ON ingests BEGIN
    DELETE FROM reservations WHERE namespace = OLD.namespace AND name = OLD.name;
END
""",
}


class Totals(NamedTuple):
    """What a namespace with a bound has."""

    blobs: int
    """Live ones."""
    bytes: int
    reserved: int
    """Bytes for content on its way in."""


class Policies(Bound):
    """The transactions on policies."""

    def policy(self) -> Policy | None:
        """Return the policy of the namespace, if it has one."""
        row = self._database.one(statements.FIND_POLICY, {"namespace": self._namespace})
        if row is None:
            return None
        import json  # few stores have one

        grace, most, low, unused, filters = row
        return Policy(_span(grace), most, low, _span(unused), tuple(json.loads(filters)))

    def set_policy(self, policy: Policy | None) -> None:
        """Set the policy, or with None remove it; durable. A bound counts what is there anew."""
        values = {"namespace": self._namespace}

        def work(connection: Connection) -> None:
            if policy is None:
                connection.execute(statements.DROP_POLICY, values)
            else:
                connection.execute(statements.SET_POLICY, values | _columns(policy))
            if policy is None or policy.max_bytes is None:
                _end_bound(connection, values)
            else:
                _begin_bound(connection, values)

        def landed(connection: Connection) -> bool:
            row = connection.execute(statements.FIND_POLICY, values).fetchone()
            wanted = None if policy is None else tuple(_columns(policy).values())
            return bool(row == wanted)

        self._database.write(work, landed, durable=True)

    def has_policies(self) -> bool:
        """Return whether any namespace has one."""
        return self._database.one(statements.ANY_POLICY, {}) is not None

    def totals(self) -> Totals | None:
        """Return what the namespace has; None without a bound."""
        row = self._database.one(statements.TOTALS, {"namespace": self._namespace})
        return None if row is None else Totals._make(row)


def find_wrong_totals(connection: Connection) -> list[str]:
    """Count what each namespace with a bound has; return one sentence for each wrong total."""
    rows = connection.execute(statements.ALL_TOTALS).fetchall()
    return [
        f"those of namespace {name!r} say {tuple(told)}, and there is {tuple(found)} "
        "(blobs, bytes, bytes reserved)"
        for name, *both in rows
        if (told := both[:3]) != (found := both[3:])
    ]


def begin_bounds(connection: Connection) -> None:
    """Count what namespaces with a bound have, in an index that took over its policies."""
    for (namespace,) in connection.execute(statements.BOUNDED).fetchall():
        _begin_bound(connection, {"namespace": namespace})


def _begin_bound(connection: Connection, values: dict[str, str]) -> None:
    connection.execute(statements.RESERVE_FOR_INGESTS, values)
    connection.execute(statements.COUNT_TOTALS, values)
    for name, rest in _TRIGGERS.items():
        connection.execute(f"CREATE TRIGGER IF NOT EXISTS {name} {rest}")


def _end_bound(connection: Connection, values: dict[str, str]) -> None:
    connection.execute(statements.DROP_TOTALS, values)
    connection.execute(statements.DROP_RESERVATIONS, values)
    if connection.execute(statements.ANY_TOTALS).fetchone() is None:
        for name in _TRIGGERS:
            connection.execute(f"DROP TRIGGER IF EXISTS {name}")


def _columns(policy: Policy) -> dict[str, object]:
    import json  # as above

    return {
        "grace": _ns(policy.grace),
        "max_bytes": policy.max_bytes,
        "low_bytes": policy.low_bytes,
        "unused_for": _ns(policy.unused_for),
        "filters": json.dumps(policy.filters, ensure_ascii=False),
    }


def _span(ns: int | None) -> timedelta | None:
    from datetime import timedelta  # as above

    return None if ns is None else timedelta(microseconds=ns // 1000)


def _ns(span: timedelta | None) -> int | None:
    from contentdb.units import span_ns  # as above

    return None if span is None else span_ns(span)
