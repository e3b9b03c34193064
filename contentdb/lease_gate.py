"""The gate of a lease's store: that of the store, until the lease was ended by its object."""

from __future__ import annotations

import os

from contentdb.errors import LeaseEndedError
from contentdb.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentdb.call_guard import Gate

__all__ = ["LeaseGate"]


class LeaseGate:
    """The gate of the store, which lets no call in once the lease was ended by this object."""

    def __init__(self, gate: Gate, lease: str) -> None:
        self._gate = gate
        self._lease = lease
        self._pid = os.getpid()
        self.ended = False

    @property
    def is_of_parent(self) -> bool:
        """Whether this process is the child of a fork, which does not have the lease."""
        return self._pid != os.getpid()

    @property
    def closed(self) -> bool:
        """Whether it lets no call in any more."""
        return self.ended or self._gate.closed

    @property
    def __enter__(self) -> Callable[[], object]:
        return self._gate.__enter__

    @property
    def __exit__(self) -> Callable[..., None]:  # noqa: PLE0302, PYI036 - as that of `Gate`
        """Raise if the lease has ended, or is the parent's of a fork."""
        if self.ended or self.is_of_parent:
            raise LeaseEndedError(self._lease)
        return self._gate.__exit__
