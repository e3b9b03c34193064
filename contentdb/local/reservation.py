"""Room for new content in a namespace with a bound: reserved before the first byte is taken.

What is reserved becomes the bytes of a blob in the transaction that records it, or is given back.
So blobs and reservations together never exceed the bound, however many processes store at once. In
a store that never had a bound this module does nothing.
"""

from __future__ import annotations

import os

from contentdb import files
from contentdb.errors import ContentDBError, QuotaExceededError
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local import locks
from contentdb.local.layout import lock_name
from contentdb.logs import swallow

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from contentdb.local.index.reservations import Granted
    from contentdb.local.resources import Parts

__all__ = ["STEP_BYTES", "Reservation", "give_back_dead", "reserving"]

STEP_BYTES: Final = 64 << 20
"""Bytes at a time, at most, for content of unknown size."""
_KEPT: Final = "what was reserved for content could not be given back; it is once the process ends"


class Reservation:
    """Bytes of the bound for one call, group or ingest; for one thread at a time."""

    __slots__ = ("__weakref__", "_held", "_is_unsure", "_parts", "_pid", "_token", "name")

    def __init__(self, parts: Parts, name: str | None = None) -> None:
        """With ``name``, that of an ingest's file, which is locked and gives it back at its end."""
        self._parts = parts
        self._pid = os.getpid()
        self._token = ""
        self._held = 0
        self._is_unsure = False
        """Whether the index may have more than `held`: a signal handler may raise at any time."""
        self.name = name
        """None until something is reserved, but for an ingest."""

    def cover(self, size: int, *, step: int = 0) -> None:
        """Reserve so many bytes in all, and up to ``step`` more; collect if there is no room.

        Raises:
            QuotaExceededError: Nothing more can be taken; what was reserved before stays so.
        """
        if size <= self._held or not self._parts.sharing.bounded:
            return
        if self._parts.index.totals() is None:  # another namespace has a bound
            return
        self._reserve(size, step)

    def confirm(self, size: int) -> None:
        """Cover a size by what the index says, before content of that size is recorded.

        A policy that was removed, and set anew, has forgotten what was reserved under the first.

        Raise as `cover`.
        """
        if self._held and self.name is not None and self._parts.sharing.bounded:
            self._held = min(self._held, self._parts.index.reserved_bytes(self.name))
        self.cover(size)

    def begin(self, size: int) -> None:
        """Reserve so many bytes for an ingest, in place of what an earlier writer of it had.

        Raise as `cover`.
        """
        parts = self._parts
        if not parts.sharing.bounded or parts.index.totals() is None:
            return
        if size or parts.index.reserved_bytes(self.name or ""):
            self._reserve(size, 0)

    def _reserve(self, size: int, step: int) -> None:
        parts = self._parts
        self._token = self._token or os.urandom(8).hex()
        if self.name is None:
            _give_back_lost(parts)
            self.name = parts.quota.new_name(parts.ingest, self._token, self)
        while granted := self._ask(self.name, size, step):
            parts.quota.max_bytes = granted.max_bytes
            if granted.bytes is not None:
                return
            # Others may take what is made, so it is tried as long as a collection takes anything.
            if size > granted.max_bytes or not parts.quota.make_room(granted.missing):
                wanted = size if size > granted.max_bytes else granted.missing
                raise QuotaExceededError(parts.namespace, wanted, granted.max_bytes)

    def _ask(self, name: str, size: int, step: int) -> Granted | None:
        self._is_unsure = True
        granted = self._parts.index.reserve(name, self._token, size, step=step)
        if granted is not None and granted.bytes is not None:
            self._held = granted.bytes
        self._is_unsure = False
        return granted

    @property
    def held(self) -> int:
        """Bytes that are reserved now."""
        return self._held

    def settle(self) -> None:
        """Note that all was recorded, and given back by that."""
        self._held = 0

    def keep(self, size: int) -> None:
        """Give back what is beyond a size; may be repeated."""
        if self._pid != os.getpid() or self.name is None:
            return
        if self._held <= size and not self._is_unsure:
            return
        with swallow("local.quota", _KEPT, ContentDBError, name=self.name):
            self._parts.index.lower_reservation(self.name, self._token, size)
            self._held = min(self._held, size)
            self._is_unsure = False

    def close(self) -> None:
        """Give back what is left; may be repeated."""
        try:
            self.keep(0)
        except BaseException:  # from a signal handler
            self.keep(0)
            raise
        if self.name is not None and not self._held and not self._is_unsure:
            self._parts.quota.forget(self.name)


def reserving(
    fill: Callable[[memoryview], int], cover: Callable[[int], object]
) -> Callable[[memoryview], int]:
    """Return a function that fills a buffer, and reserves room for all that it has read so far."""
    taken = 0

    def fill_reserved(buffer: memoryview) -> int:
        nonlocal taken
        read = fill(buffer)
        taken += read
        cover(taken)
        return read

    return fill_reserved


def give_back_dead(parts: Parts) -> None:
    """Give back what dead processes have reserved, but for the bytes that their ingests have."""
    _give_back_lost(parts)
    for row in parts.index.reservations():
        if locks.is_held(parts.ingest, lock_name(row.name)):
            continue
        size = 0
        if parts.index.ingest_of(row.name) is not None:
            found = files.stat_name(parts.ingest, row.name)
            size = 0 if found is None else found.st_size
        if size < row.bytes:
            parts.index.lower_reservation(row.name, row.token, size)


def _give_back_lost(parts: Parts) -> None:
    """Give back what calls of this process had reserved; see `Quota.lost`."""
    for name, token in parts.quota.lost():
        parts.index.lower_reservation(name, token, 0)
        parts.quota.forget(name)
