"""Leases: begun, used, listed and ended; and the engine that a lease's store has."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from contentdb.cluster.catalog import lease_items, leases
from contentdb.cluster.engine.cached import Cached
from contentdb.cluster.engine.ingests import Ingests
from contentdb.cluster.engine.lifecycle import Current
from contentdb.cluster.engine.manage import Manage
from contentdb.cluster.engine.tags import Tags
from contentdb.cluster.engine.write import Write
from contentdb.engine import Capability
from contentdb.errors import StoreClosedError
from contentdb.filters.items import fields_of_lease
from contentdb.lease_gate import LeaseGate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentdb.cluster.catalog.leases import LeaseKey
    from contentdb.content import LeaseInfo, LeaseItem
    from contentdb.digest import Digest
    from contentdb.engine import LeaseTerms
    from contentdb.filters import Filter

__all__ = ["LeasedClusterEngine", "Leases"]


class Leases(Cached, Write, Ingests, Manage, Tags):
    """The engine's part in `contentdb.content.Leaser`, with all that a lease's store has too."""

    def lease(self, terms: LeaseTerms) -> LeasedClusterEngine:
        """Begin a lease; a held one has the session of this process, which lives already."""
        with self._gate:
            held = not terms.lasting and terms.expires_ns is None
            key, old = leases.begin(
                self._resources.database,
                self._namespace,
                terms.id or os.urandom(16).hex(),
                self._resources.session if held else None,
                None if terms.expires_ns is None else terms.expires_ns - time.time_ns(),
                terms.labels,
                flat=terms.flat,
            )
            if old is not None:
                lease_items.let_go(self._resources.database, self._namespace, old)
            return LeasedClusterEngine(self, key, began=True, held=held)

    def use_lease(self, id: str) -> LeasedClusterEngine:  # noqa: A002 - as the contract calls it
        """Return an engine bound to a lease that lives."""
        with self._gate:
            row = leases.find(self._resources.database, self._namespace, id)
            return LeasedClusterEngine(self, row.key, began=False, held=False)

    def leases(self, chosen: Filter | None) -> Iterator[LeaseInfo]:
        """Yield live leases, read in pages."""
        pages = leases.listed(self._resources.database, self._namespace)
        while True:
            with self._gate:
                page = next(pages, None)
            if page is None:
                return
            for info in (row.info for row in page if row.lives):
                if chosen is None or chosen.matches(fields_of_lease(info)):
                    yield info

    def end_lease(self, id: str) -> None:  # noqa: A002 - as above
        """End a lease, and let go of what it kept."""
        with self._gate:
            row = leases.find(self._resources.database, self._namespace, id)
            self._end_lease(row.key)

    def _end_lease(self, lease: LeaseKey) -> None:
        leases.end(self._resources.database, lease)
        lease_items.let_go(self._resources.database, self._namespace, lease)


class LeasedClusterEngine(Cached, Write, Ingests, Manage, Tags):
    """A `contentdb.engine.LeasedEngine`: the engine of a store, bound to a lease."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """As the store's, but for what concerns more than content."""
        return frozenset({Capability.BATCHES, Capability.TAGS}) | self._by_place()

    def __init__(self, owner: Leases, lease: LeaseKey, *, began: bool, held: bool) -> None:
        # Not as its parents do: it opens nothing, and its owner closes all.
        self._owner = owner
        self._resources = owner._resources.of_lease(lease)  # noqa: SLF001 - one engine in two classes
        self._cache = owner._cache  # noqa: SLF001 - as above
        self._current = Current()
        self._namespace = owner.namespace
        self._lease_gate = LeaseGate(owner._gate, lease.id)  # noqa: SLF001 - as above
        self._gate = self._lease_gate  # type: ignore[assignment]  # of the same shape
        self._held = owner._held  # noqa: SLF001 - as above
        self._lease = lease
        self._began = began
        self._is_held = held

    @property
    def lease_id(self) -> str:
        """The lease's name."""
        return self._lease.id

    def keep(self, digest: Digest) -> bool:
        """Add a blob to the lease if it is stored: one transaction asks and adds."""
        return self.exists(digest)

    def lease_info(self) -> LeaseInfo:
        """Describe the lease."""
        with self._gate:
            return leases.find_own(self._resources.database, self._lease).info

    def lease_items(self) -> Iterator[LeaseItem]:
        """Yield the items, as they are at the first one."""
        with self._gate:
            leases.find_own(self._resources.database, self._lease)
            return lease_items.items(self._resources.database, self._lease)

    def add_lease_item(self, item: LeaseItem) -> None:
        """Add an item, whether it is there or not."""
        with self._gate:
            lease_items.add_item(self._resources.database, self._namespace, self._lease, item)

    def drop_lease_item(self, item: LeaseItem) -> None:
        """Drop an item."""
        with self._gate:
            lease_items.drop_item(self._resources.database, self._namespace, self._lease, item)

    def end_own_lease(self) -> None:
        """End the lease, and let go of what it kept."""
        if self._lease_gate.ended or self._lease_gate.is_of_parent:
            return
        try:
            with self._gate:
                self._owner._end_lease(self._lease)  # noqa: SLF001 - one engine in two classes
        except StoreClosedError:
            if not self._is_held:  # which ends with the session
                raise
        self._lease_gate.ended = True

    def close(self) -> None:
        """End the lease if this object began it; a second call does nothing."""
        if self._began:
            self.end_own_lease()
        self._lease_gate.ended = True

    def __del__(self) -> None:
        """Do nothing: a held lease that was forgotten ends with its process."""
