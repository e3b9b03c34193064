"""What the reservations of an open store share: how room is made, and the lock of their owner.

See `contentdb.local.reservation`.
"""

from __future__ import annotations

import os
from itertools import count

from contentdb import files
from contentdb.errors import ContentDBError
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local import locks
from contentdb.local.layout import TEMPORARY
from contentdb.logs import swallow

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final
    from weakref import ReferenceType

    from contentdb.files import Directory

__all__ = ["Quota"]

_LEFT: Final = "the lock file of reservations was not removed; the next opening removes it"


class Quota:
    """The part of an open store that its reservations share."""

    def __init__(self) -> None:
        self.make_room: Callable[[int], bool] = lambda _size: False
        """Collects until there is room for so many bytes; returns False if nothing changed."""
        self.max_bytes: int | None = None
        """The bound when something was last reserved."""
        self._locks: list[tuple[str, int]] = []
        """Names and descriptors; more than one only if threads have made them at once."""
        self._begun: dict[str, tuple[str, ReferenceType[object]]] = {}
        """The tokens and holders of reservations by name, until they are given back."""
        self._numbers = count(1)

    def new_name(self, ingest: Directory, token: str, holder: object) -> str:
        """Return a name for a reservation of this process, whose lock shows that it lives."""
        from weakref import ref  # few stores have a bound

        if not self._locks:
            name = TEMPORARY + os.urandom(16).hex()
            self._locks.append((name, locks.create(ingest, name)))
        name = f"{self._locks[0][0]}-{next(self._numbers):x}"
        self._begun[name] = token, ref(holder)
        return name

    def forget(self, name: str) -> None:
        """Note that a reservation was given back."""
        self._begun.pop(name, None)

    def lost(self) -> list[tuple[str, str]]:
        """Return names and tokens of those whose holder is gone and has not given them back.

        An exception that a signal handler raised may have ended it before it could.
        """
        begun = list(self._begun.items())
        return [(name, token) for name, (token, holder) in begun if holder() is None]

    def after_fork_in_child(self) -> None:
        """Forget the parent's locks, whose copies are closed."""
        self._locks = []
        self._begun = {}

    def close(self, ingest: Directory) -> None:
        """Free the locks."""
        while self._locks:
            name, fd = self._locks.pop()
            try:
                with swallow("local.quota", _LEFT, ContentDBError, file=name):
                    files.unlink(ingest, name)
            finally:
                locks.release(fd)
