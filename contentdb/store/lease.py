"""A lease as a store: what is stored or found stored through it is kept until the lease ends."""

from __future__ import annotations

from contentdb.digest import Digest
from contentdb.errors import InvalidArgumentError
from contentdb.light_typing import TYPE_CHECKING, cast
from contentdb.refs import check_ref
from contentdb.store.manage import Manage
from contentdb.store.read import Read
from contentdb.store.tags import Tags
from contentdb.store.write import Write
from contentdb.values import LeaseItem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    from contentdb.content import LeaseInfo
    from contentdb.engine import LeasedEngine

__all__ = ["LeasedStore"]


class LeasedStore(Read, Write, Manage, Tags):
    """Implements `contentdb.content.Lease`; made by `Store.lease` and `Store.use_lease`.

    All methods of a store may be called on it, also from several threads. `exists` is `keep`. Once
    the lease has ended, calls that would keep something raise `LeaseEndedError`, and so does every
    call of an object that has ended it itself. The child of a fork does not have the lease.
    """

    @property
    def _leased(self) -> LeasedEngine:
        return cast("LeasedEngine", self._engine)

    @property
    def id(self) -> str:
        """The lease's name in its namespace."""
        return self._leased.lease_id

    def describe(self) -> LeaseInfo:
        """Return what is known of the lease.

        Raises:
            LeaseEndedError: It has ended.
        """
        return self._leased.lease_info()

    def keep(self, digest: str) -> bool:
        """Add a blob if it is stored; return whether it is. Durable when it returns.

        One transaction asks and adds: between "it is there" and "it is mine" nothing can take it.

        Raises:
            LeaseEndedError: The lease has ended.
        """
        return self._leased.keep(Digest(digest))

    def items(self) -> Iterator[LeaseItem]:
        """Stream what the lease keeps, by kind and name, in bounded memory.

        Raises:
            LeaseEndedError: The lease has ended.
        """
        return self._leased.lease_items()

    def add_item(self, kind: str, name: str) -> None:
        """Add one thing, whether it is there or not. Durable when it returns; may be repeated.

        Raises:
            LeaseEndedError: The lease has ended.
        """
        self._leased.add_lease_item(_item(kind, name))

    def drop_item(self, kind: str, name: str) -> None:
        """Let go of one thing. Durable when it returns; may be repeated.

        Raises:
            LeaseEndedError: The lease has ended.
        """
        self._leased.drop_lease_item(_item(kind, name))

    def end(self) -> None:
        """End the lease; nothing happens if it has ended. Durable when it returns."""
        self._leased.end_own_lease()

    def close(self) -> None:
        """End the lease if this object began it, and take no more calls; may be repeated."""
        self._engine.close()

    def __enter__(self) -> Self:
        """Return the store; leaving the block closes it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        """Show the lease and the root or address."""
        return f"<{type(self).__name__} {self.id!r} of {self._engine.place!r}>"


def _item(kind: str, name: str) -> LeaseItem:
    for text in (kind, name):
        try:
            check_ref(text)  # the same rules
        except InvalidArgumentError as error:
            raise InvalidArgumentError(f"an item is a kind and a name: {error}") from error
    return LeaseItem(kind, name)
