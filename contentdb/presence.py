"""Which threads are inside an object: each has its own lock, which only code in C takes and frees.

CPython runs a signal handler between two instructions of Python code, never inside a C function.
So an exception of a handler cannot leave ``with presence.mine():`` half-way. It could do so with a
counter in Python code, and then a close or a fork would wait for a thread that has already left.
"""

from __future__ import annotations

import threading

from contentdb import forks
from contentdb.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threading import RLock

__all__ = ["Presence", "reset_after_fork"]


def reset_after_fork(lock: RLock) -> None:
    """Free a lock in the child of a fork, whichever thread of the parent held it."""
    lock._at_fork_reinit()  # type: ignore[attr-defined]  # noqa: SLF001 - as `threading` does


class Presence:
    """One lock for each thread; a thread is inside while it holds its lock."""

    def __init__(self) -> None:
        self.locks: dict[int, RLock] = {}
        """The locks by the id of their thread; callers in a hurry look here before `mine`."""
        self._joining = threading.RLock()

    def mine(self) -> RLock:
        """Return the lock of this thread, for a ``with`` block; blocks may be nested."""
        lock = self.locks.get(threading.get_ident())
        return self._join() if lock is None else lock

    def _join(self) -> RLock:
        with self._joining:
            return self.locks.setdefault(threading.get_ident(), threading.RLock())

    def _others(self) -> list[RLock]:
        me = threading.get_ident()
        return [lock for thread, lock in list(self.locks.items()) if thread != me]

    @property
    def is_inside(self) -> bool:
        """Whether this thread is inside."""
        lock = self.locks.get(threading.get_ident())
        return lock is not None and bool(lock._is_owned())  # type: ignore[attr-defined]  # noqa: SLF001 - as `threading.Condition` asks

    @property
    def others_inside(self) -> bool:
        """Whether another thread is inside now."""
        for lock in self._others():
            if not lock.acquire(blocking=False):
                return True
            lock.release()
        return False

    def wait_for_others(self) -> None:
        """Wait until every other thread that is inside now has left."""
        for lock in self._others():
            with lock:
                pass

    def keep_others_out(self) -> None:
        """Wait until the other threads have left, and keep them out until the fork is over."""
        forks.hold(self._joining)
        for lock in self._others():
            forks.hold(lock)

    def forget_others(self) -> None:
        """Drop the locks of the parent's other threads, which do not exist in a fork's child."""
        mine = self.locks.get(threading.get_ident())
        self.locks = {} if mine is None else {threading.get_ident(): mine}
        reset_after_fork(self._joining)
