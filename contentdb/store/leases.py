"""Leases of a store: begin one, use one, list them, end one."""

from __future__ import annotations

import time
from functools import partial

from contentdb.engine import Capability, LeaseEngine, LeaseTerms
from contentdb.errors import InvalidArgumentError
from contentdb.labels import check_labels
from contentdb.light_typing import TYPE_CHECKING, cast
from contentdb.refs import check_lease
from contentdb.store.front import Front

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import timedelta

    from contentdb.content import LeaseInfo
    from contentdb.engine import LeasedEngine
    from contentdb.store.lease import LeasedStore

__all__ = ["Leases"]


class Leases(Front):
    """Implements `contentdb.content.Leaser`.

    Behind a server `lease` needs ``expires`` or ``lasting``: it does not see this process live.
    """

    def _leaser(self, what: str) -> LeaseEngine:
        self._require(Capability.LEASES, what)
        return cast("LeaseEngine", self._engine)

    def lease(
        self,
        *,
        expires: timedelta | None = None,
        lasting: bool = False,
        id: str | None = None,  # noqa: A002 - as containerd calls it
        flat: bool = False,
        labels: Mapping[str, str] | None = None,
    ) -> LeasedStore:
        """Begin a lease, and return a store whose work it keeps. Durable when it returns.

        Each commit through that store, and each answer that content is stored already, adds the
        blob to the lease in the transaction that makes it true. Until the lease ends no collection
        takes what it has, or what that refers to. Leaving the ``with`` block ends it.

        Args:
            expires: It ends by itself after this time. Without this and ``lasting`` it is held: it
                ends with its process, however that ends, and no time ends it.
            lasting: Nothing but a call ends it.
            id: Its name, any text of 1 to 4096 bytes; None makes one up.
            flat: It keeps only its blobs, and not what their labels refer to.
            labels: Texts to store with it.

        Raises:
            LeaseExistsError: A live lease has that id.
            FailedPreconditionError: It would be held, and the store is behind a server.
        """
        if expires is not None and lasting:
            raise InvalidArgumentError("a lease expires or is lasting, not both")
        terms = LeaseTerms(
            None if id is None else check_lease(id),
            None if expires is None else _moment_in(expires),
            bool(lasting),
            bool(flat),
            check_labels(labels or {}),
        )
        return self._made(self._leaser("lease").lease(terms))

    def use_lease(self, id: str) -> LeasedStore:  # noqa: A002 - as above
        """Return a store whose work goes to a lease that is there; leaving ``with`` keeps it.

        A held lease still ends with the process that began it.

        Raises:
            NotFoundError: There is no such lease, or it has ended.
        """
        return self._made(self._leaser("use_lease").use_lease(check_lease(id)))

    def _made(self, engine: LeasedEngine) -> LeasedStore:
        from contentdb.store.lease import LeasedStore  # few callers have a lease

        return LeasedStore(engine, partial(_reduce, self, engine.lease_id))

    def leases(self, *filters: str) -> Iterator[LeaseInfo]:
        """Stream the live leases that any of the filters selects, by id; without filters all.

        Args:
            *filters: See `contentdb.filters`; the fields are ``id``, ``labels``, ``created_at`` and
                ``expires_at``.

        Raises:
            InvalidFilterError: A filter does not parse.
        """
        chosen = None
        if filters:
            from contentdb.filters import LEASE_FIELDS, parse  # 2 ms that others need not spend

            chosen = parse(*filters, fields=LEASE_FIELDS)
        return self._leaser("leases").leases(chosen)

    def end_lease(self, id: str) -> None:  # noqa: A002 - as above
        """End a lease: a later collection takes what nothing else keeps. Durable when it returns.

        Raises:
            NotFoundError: There is no such lease, or it has ended.
        """
        self._leaser("end_lease").end_lease(check_lease(id))


def _moment_in(span: object) -> int:
    """Return the time after a span from now, in nanoseconds since the epoch."""
    from datetime import timedelta

    from contentdb.units import span_ns

    if not isinstance(span, timedelta) or span <= timedelta(0):
        raise InvalidArgumentError(f"expires is a positive timedelta, not {span!r:.80}")
    end_ns = time.time_ns() + span_ns(span)
    if end_ns >= 1 << 63:
        raise InvalidArgumentError(
            f"expires must end before the year 2262, not {span!r:.80} from now"
        )
    return end_ns


def _reduce(store: Leases, id_: str) -> tuple[object, ...]:
    return _use_again, (store, id_)


def _use_again(store: Leases, id_: str) -> LeasedStore:
    return store.use_lease(id_)
