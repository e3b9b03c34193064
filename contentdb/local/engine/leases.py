"""Leases: begun, used, listed and ended; and the engine that a lease's store has."""

from __future__ import annotations

import os
import time

from contentdb import files
from contentdb.engine import Capability
from contentdb.errors import (
    ContentDBError,
    LeaseEndedError,
    LeaseExistsError,
    NotFoundError,
    StoreClosedError,
)
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local import locks
from contentdb.local.commit.stored import look_up
from contentdb.local.commit.temporary import TEMPORARY
from contentdb.local.disk_reserve import make_room
from contentdb.local.engine.ingests import Ingests
from contentdb.local.engine.lifecycle import Lifecycle
from contentdb.local.engine.manage import Manage
from contentdb.local.engine.read import Read
from contentdb.local.engine.tags import Tags
from contentdb.local.engine.write import Write
from contentdb.local.index import LeaseRow
from contentdb.local.leases import end_lease, is_dead
from contentdb.local.met import keep_met
from contentdb.logs import swallow
from contentdb.values import LeaseInfo, LeaseItem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Final

    from contentdb.digest import Digest
    from contentdb.engine import LeaseTerms
    from contentdb.filters import Filter
    from contentdb.local.index import LeaseKey
    from contentdb.local.resources import Parts

__all__ = ["LeasedLocalEngine", "Leases"]

_LEFT: Final = "the file of a lease that has ended was not removed; the next opening removes it"


class Leases(Lifecycle):
    """The engine's part in `contentdb.content.Leaser`."""

    def lease(self, terms: LeaseTerms) -> LeasedLocalEngine:
        """Begin a lease; a held one has its file locked before its row can be seen."""
        with self._gate:
            held = not terms.lasting and terms.expires_ns is None
            lock = _Lock(self._parts) if held else None
            try:
                row = self._begin_lease(terms, lock)
            except BaseException:
                if lock is not None:
                    lock.let_go()
                raise
            return LeasedLocalEngine(self, row.key, lock, began=True)

    def _begin_lease(self, terms: LeaseTerms, lock: _Lock | None) -> LeaseRow:
        id_ = terms.id or os.urandom(16).hex()
        row = LeaseRow(
            id_,
            time.time_ns(),
            terms.expires_ns,
            int(terms.flat),
            None if lock is None else lock.name,
            None if lock is None else locks.holder(),
        )
        while True:
            try:
                self._parts.index.begin_lease(row, terms.labels)
            except LeaseExistsError:
                old = self._parts.index.lease_row(id_)
                if old is not None and not is_dead(self._parts, old):
                    raise
                if old is not None:
                    end_lease(self._parts, old.key)
            else:
                return row

    def use_lease(self, id: str) -> LeasedLocalEngine:  # noqa: A002 - as the contract calls it
        """Return an engine bound to a lease that lives."""
        with self._gate:
            return LeasedLocalEngine(self, self._find_lease(id).key, None, began=False)

    def _find_lease(self, id_: str) -> LeaseRow:
        row = self._parts.index.lease_row(id_)
        if row is None or is_dead(self._parts, row):
            raise NotFoundError(lease=id_)
        return row

    def leases(self, chosen: Filter | None) -> Iterator[LeaseInfo]:
        """Yield live leases, read in pages."""
        from contentdb.filters.items import fields_of_lease  # 2 ms that others need not spend

        with self._gate:
            rows = self._parts.index.lease_rows()
        while True:
            with self._gate:
                found = next(rows, None)
                if found is None:
                    return
                if is_dead(self._parts, found[0]):
                    continue
            info = _describe(*found)
            if chosen is None or chosen.matches(fields_of_lease(info)):
                yield info

    def end_lease(self, id: str) -> None:  # noqa: A002 - as the contract calls it
        """End a lease; the disk's reserve makes room for that on a full disk."""
        with self._gate:
            make_room(self._parts.root)
            end_lease(self._parts, self._find_lease(id).key)


class _Lock:
    """The locked file of a held lease; the child of a fork does not have it."""

    def __init__(self, parts: Parts) -> None:
        self.name = TEMPORARY + os.urandom(16).hex()
        self._ingest = parts.ingest
        self._fd = locks.create(parts.ingest, self.name)

    def let_go(self) -> None:
        """Remove the file and free the lock."""
        try:
            with swallow("local.leases", _LEFT, ContentDBError, file=self.name):
                files.unlink(self._ingest, self.name)
        finally:
            locks.release(self._fd)


class LeasedLocalEngine(Read, Write, Ingests, Manage, Tags):
    """A `contentdb.engine.LeasedEngine`: the engine of a store, bound to a lease."""

    capabilities = frozenset({Capability.PATHS, Capability.BATCHES, Capability.TAGS})

    def __init__(self, owner: Leases, lease: LeaseKey, lock: _Lock | None, *, began: bool) -> None:
        # Not as its parents do: it opens nothing, and its owner closes all.
        self._owner = owner
        self._parts = owner._parts.of_lease(lease)  # noqa: SLF001 - one engine in two classes
        self._store_gate = owner._gate  # noqa: SLF001 - as above
        from contentdb.lease_gate import LeaseGate  # few commands name a lease

        self._lease_gate = LeaseGate(owner._gate, lease.id)  # noqa: SLF001 - as above
        self._gate = self._lease_gate  # type: ignore[assignment]  # of the same shape
        self._held = owner._held  # noqa: SLF001 - as above
        self.current = type(owner.current)()
        self._lease = lease
        self._lock = lock
        self._began = began

    @property
    def lease_id(self) -> str:
        """The lease's name."""
        return self._lease.id

    def exists(self, digest: Digest) -> bool:
        """Add a blob to the lease if it is stored; return whether it is."""
        return self.keep(digest)

    def keep(self, digest: Digest) -> bool:
        """Add a blob to the lease if it is stored: one transaction asks and adds."""
        with self._gate:
            found = look_up(self._parts, digest)
            return found is not None and keep_met(self._parts, digest)

    def lease_info(self) -> LeaseInfo:
        """Describe the lease."""
        with self._gate:
            row = self._parts.index.lease_row(self._lease.id)
            if row is None or row.key != self._lease or is_dead(self._parts, row):
                raise LeaseEndedError(self._lease.id)
            return _describe(row, self._parts.index.lease_labels(row.id))

    def lease_items(self) -> Iterator[LeaseItem]:
        """Yield the items, read in pages."""
        with self._gate:
            found = self._parts.index.lease_items(self._lease)
        while True:
            with self._gate:
                item = next(found, None)
            if item is None:
                return
            yield LeaseItem(*item)

    def add_lease_item(self, item: LeaseItem) -> None:
        """Add an item, whether it is there or not."""
        with self._gate:
            self._parts.index.add_lease_item(self._lease, *item)

    def drop_lease_item(self, item: LeaseItem) -> None:
        """Drop an item."""
        with self._gate:
            make_room(self._parts.root)
            self._parts.index.drop_lease_item(self._lease, *item)

    def end_own_lease(self) -> None:
        """End the lease, then free its file, which ends a held lease too."""
        if self._lease_gate.ended or self._lease_gate.is_of_parent:
            return
        try:
            with self._store_gate:
                make_room(self._parts.root)
                end_lease(self._parts, self._lease)
        except StoreClosedError:
            if self._lock is None:
                raise
        finally:
            if self._lock is not None:
                self._lock.let_go()
        self._lease_gate.ended = True

    def close(self) -> None:
        """End the lease if this object began it; a second call does nothing."""
        if self._began:
            self.end_own_lease()
        self._lease_gate.ended = True

    def __del__(self) -> None:
        """Do nothing: a held lease that was forgotten loses its lock, and with it its life."""


def _describe(row: LeaseRow, labels: Mapping[str, str]) -> LeaseInfo:
    return LeaseInfo(row.id, row.created_ns, row.expires_ns, bool(row.flat), row.holder, labels)
