"""Hooks of this package's modules that run before a fork, and after it in the child.

`os.fork` runs Python's hooks, and so these. A fork made in C (uWSGI without a master process, R's
reticulate, other embeddings) runs none of them, or only those of the child. So every operation
begins with `check`, which compares the process's id and runs the child's hooks late.

When a signal handler raises inside a hook, Python forks anyway. So a hook that raised is called a
second time, and only code in C takes and frees the locks that are held during a fork.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque

from contentdb.light_typing import TYPE_CHECKING, NamedTuple

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
pid = os.getpid()
"""The process that has run the hooks; if it is not this one, `check` has to run them."""
_arriving = threading.Lock()
forking: int | None = None
"""The thread that runs the hooks before its fork, or did until an exception cut them off."""
_ready = False
"""Whether that thread has run all of them."""


def register(*, before: Callable[[], object], in_child: Callable[[bool], object]) -> None:
    """Add the hooks of a module.

    Args:
        before: Called in the parent before the fork, perhaps twice, last registered first. After
            the fork the parent frees the locks that it took by `hold`.
        in_child: Called in the child, with True if all ``before`` hooks have run. It resets those
            locks.
    """
    _hooks.append(_Hooks(before, in_child))


def hold(lock: RLock) -> None:
    """Wait for a lock, take it, and keep it until the fork is over."""
    _held.extend(filter(_acquire, (lock,)))  # all in C: no handler runs between taking and noting


def free() -> None:
    """Free the locks of `hold`."""
    with contextlib.suppress(IndexError):  # none is left
        deque(map(_release, iter(_held.pop, None)), maxlen=0)  # in C, as above


def check() -> None:
    """Run the hooks that a fork in C skipped, or that an exception cut off, in this process."""
    if os.getpid() != pid:
        with _arriving:
            if os.getpid() != pid:
                _arrive(seen=False)
    elif forking is not None and forking == threading.get_ident():
        _in_parent()  # a signal handler's exception cut the fork's hooks off


def _arrive(*, seen: bool) -> None:
    global forking, pid  # noqa: PLW0603 - one process, one number
    forking = None
    for hooks in _hooks:
        hooks.in_child(seen)
    _held.clear()
    pid = os.getpid()


def _before() -> None:
    global forking, _ready  # noqa: PLW0603 - as above
    check()
    _ready = False
    forking = threading.get_ident()
    raised = None
    for hooks in reversed(_hooks):
        try:
            hooks.before()
        except BaseException as error:  # noqa: BLE001 - a signal handler's, raised again below
            raised = error
            hooks.before()
    _ready = True
    if raised is not None:  # Python prints that it ignores the exception, and forks
        raise raised


def _in_parent() -> None:
    global forking  # noqa: PLW0603 - as above
    free()
    forking = None


def _in_child() -> None:
    _arrive(seen=_ready and forking == threading.get_ident())


os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
