"""A gate for the calls inside an open store: closing it waits for them, and lets no more in.

``with gate:`` holds the lock that its thread has in a `Presence`. The statement looks up both
special methods before it calls the first one, so these are properties that return the lock's own
methods, which are C code: no signal handler can raise between them and the block. No thread waits
for itself.
"""

from __future__ import annotations

import os
import threading

from contentdb import forks
from contentdb.errors import StoreClosedError
from contentdb.light_typing import TYPE_CHECKING
from contentdb.presence import Presence

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentdb.errors import ContentDBError

__all__ = ["Gate"]


class Gate:
    """A context manager around each use of what closing the store frees; it may be nested."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._inside = Presence()
        self._closed = False
        self._refusal: ContentDBError | None = None

    @property
    def __enter__(self) -> Callable[[], object]:
        """Finish a fork that Python did not see, then return the method that begins the call."""
        if os.getpid() != forks.pid or forks.forking is not None:
            forks.check()
        lock = self._inside.locks.get(threading.get_ident())
        return (lock or self._inside.mine()).__enter__

    @property
    def __exit__(self) -> Callable[..., None]:  # noqa: PLE0302, PYI036 - it gives the method
        """Raise if the store is closed; this is the last check before the block begins."""
        lock = self._inside.locks.get(threading.get_ident())
        leave = (lock or self._inside.mine()).__exit__
        if self._closed:
            raise StoreClosedError(self._root)
        if self._refusal is not None:
            raise self._refusal
        return leave

    @property
    def closed(self) -> bool:
        """Whether the gate lets no call in any more."""
        return self._closed

    def close(self) -> None:
        """Let no more calls in, and wait until those of other threads have left; repeatable."""
        self._closed = True
        self._inside.wait_for_others()

    def after_fork_in_child(self, refusal: ContentDBError | None) -> None:
        """Forget the parent's other threads; if an error is given, raise it in each call."""
        self._inside.forget_others()
        self._refusal = refusal
