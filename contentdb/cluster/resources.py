"""What the stores of one process at one database share: connections, session, object store."""

from __future__ import annotations

import threading
from copy import copy
from typing import TYPE_CHECKING, Final

from contentdb import forks
from contentdb.cluster.catalog.meta import read_meta
from contentdb.cluster.objects import Bucket
from contentdb.cluster.session import Session
from contentdb.presence import reset_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future, ThreadPoolExecutor
    from typing import TypeVar

    from contentdb.cluster.catalog.leases import LeaseKey
    from contentdb.cluster.catalog.meta import Meta
    from contentdb.cluster.sql import Database

    T = TypeVar("T")

__all__ = ["Resources", "borrow"]

_REQUESTS: Final = 16
"""How many requests to the object store may be under way at once, for all stores of a process."""


class Resources:
    """A database, its bucket, and this process's session, while stores use them."""

    def __init__(self, database: Database, meta: Meta) -> None:
        self.database = database
        self.meta = meta
        self.bucket = Bucket(meta.objects, meta.endpoint)
        self.session = Session(database, f"contentdb_{meta.uuid}")
        self.lease: LeaseKey | None = None
        """The lease that keeps what is stored, and what is found stored."""
        self._users = 0
        self._workers = _Workers()

    def of_lease(self, lease: LeaseKey) -> Resources:
        """Return the same for the calls of a lease; its holder does not close it."""
        made = copy(self)
        made.lease = lease
        return made

    def refresh_meta(self) -> None:
        """Read again what the database says of the store."""
        self.meta = read_meta(self.database)

    def start(self, call: Callable[[], T]) -> Future[T]:
        """Run a request to the object store in a thread, or at once if the resources are closed.

        A reader outlives its store.
        """
        return self._workers.start(call)

    def close(self) -> None:
        """Give the resources back; the last store to do so closes them."""
        with _guard:
            self._users -= 1
            if self._users:
                return
            if _shared.get(self.database.url) is self:
                del _shared[self.database.url]
        self.session.close()
        self._workers.close()
        self.database.close()

    def share(self) -> Resources:
        """Count one more store that uses them."""
        self._users += 1
        return self


class _Workers:
    """The threads of requests, from the first one on."""

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None
        self._closed = False
        self._lock = threading.RLock()  # a signal handler may read too

    def start(self, call: Callable[[], T]) -> Future[T]:
        with self._lock:
            if not self._closed:
                if self._threads is None:
                    from concurrent.futures import ThreadPoolExecutor

                    self._threads = ThreadPoolExecutor(_REQUESTS, "contentdb-objects")
                return self._threads.submit(call)
        return _done(call)

    def close(self) -> None:
        with self._lock:
            self._closed = True
        if self._threads is not None:
            self._threads.shutdown()


def _done(call: Callable[[], T]) -> Future[T]:
    """Return a future of a call that is over."""
    from concurrent.futures import Future

    future: Future[T] = Future()
    try:
        future.set_result(call())
    except Exception as error:  # noqa: BLE001 - raised to the caller that asks for the result
        future.set_exception(error)
    return future


_guard = threading.RLock()
_shared: dict[str, Resources] = {}


def borrow(url: str, make: Callable[[], Resources]) -> Resources:
    """Return the resources of a database that stores of this process have open, or make them."""
    forks.check()
    with _guard:
        found = _shared.get(url)
        if found is None:
            found = _shared[url] = make()
        return found.share()


def _forget(seen: bool) -> None:  # noqa: FBT001, ARG001 - a hook
    """Leave the parent's connections alone: a child would end them, or mix up their answers."""
    _inherited.extend(_shared.values())  # kept, so that nothing of them is ever closed here
    _shared.clear()
    reset_after_fork(_guard)


_inherited: list[Resources] = []
forks.register(before=lambda: forks.hold(_guard), in_child=_forget)
