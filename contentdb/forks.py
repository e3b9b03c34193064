"""Forks: what each module does before one, and after it in the child.

`os.fork` runs Python's hooks, and so these. A fork made in C runs none of them (uWSGI without a
master process, R's reticulate, other embeddings), or only those of the child. So every operation
begins with `check`, which compares the process's id and does the child's part late.

Python forks all the same when a signal's handler raises within a hook. So each hook may be called
again, and is, and the locks that are held over a fork are taken and freed by code in C alone.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import RLock

__all__ = ["check", "free", "hold", "register"]


class _Hooks(NamedTuple):
    before: Callable[[], object]
    in_child: Callable[[bool], object]


_hooks: list[_Hooks] = []
_held: list[RLock] = []
_acquire = type(threading.RLock()).acquire
_release = type(threading.RLock()).release
_pid = os.getpid()
_arriving = threading.Lock()
_forking: int | None = None
"""The thread that has begun to prepare its fork."""
_ready = False
"""Whether it has ended preparing."""


def register(*, before: Callable[[], object], in_child: Callable[[bool], object]) -> None:
    """Add the hooks of a module.

    Args:
        before: Called in the parent, perhaps twice; those registered last come first. The locks
            that it takes by `hold` are freed after the fork.
        in_child: Called in the child, with whether ``before`` was called. It resets those locks.
    """
    _hooks.append(_Hooks(before, in_child))


def hold(lock: RLock) -> None:
    """Take a lock until the fork is over, or wait for it."""
    _held.extend(filter(_acquire, (lock,)))  # all of it in C, so that none is taken and not noted


def free() -> None:
    """Free the locks of `hold`."""
    with contextlib.suppress(IndexError):  # none is left
        deque(map(_release, iter(_held.pop, None)), maxlen=0)  # in C, as above


def check() -> None:
    """Do what a fork has left to be done in this process, if anything."""
    if os.getpid() != _pid:
        with _arriving:
            if os.getpid() != _pid:
                _arrive(seen=False)
    elif _forking is not None and _forking == threading.get_ident():
        _in_parent()  # a handler cut it off


def _arrive(*, seen: bool) -> None:
    global _forking, _pid  # noqa: PLW0603 - one process, one number
    _forking = None
    for hooks in _hooks:
        hooks.in_child(seen)
    _held.clear()
    _pid = os.getpid()


def _before() -> None:
    global _forking, _ready  # noqa: PLW0603 - as above
    check()
    _ready = False
    _forking = threading.get_ident()
    raised = None
    for hooks in reversed(_hooks):
        try:
            hooks.before()
        except BaseException as error:  # noqa: BLE001 - a handler's
            raised = error
            hooks.before()
    _ready = True
    if raised is not None:  # Python will say that it is ignored, and fork
        raise raised


def _in_parent() -> None:
    global _forking  # noqa: PLW0603 - as above
    free()
    _forking = None


def _in_child() -> None:
    _arrive(seen=_ready and _forking == threading.get_ident())


os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
