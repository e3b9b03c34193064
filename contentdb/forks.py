"""Forks: what each module does before one, and after it in the parent and in the child.

`os.fork` runs Python's hooks, and so these. A fork made in C runs none of them (uWSGI without a
master process, R's reticulate, other embeddings), or only those of the child. So every operation
begins with `check`, which compares the process's id and does the child's part late.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["check", "register"]


class _Hooks(NamedTuple):
    before: Callable[[], object]
    in_parent: Callable[[], object]
    in_child: Callable[[bool], object]


_hooks: list[_Hooks] = []
_pid = os.getpid()
_arriving = threading.Lock()
_forking: int | None = None
"""The thread that has run the hooks before its fork."""


def register(
    *,
    before: Callable[[], object],
    in_parent: Callable[[], object],
    in_child: Callable[[bool], object],
) -> None:
    """Add the hooks of a module.

    Args:
        before: Called in the parent; those registered last come first.
        in_parent: Called in the parent afterwards.
        in_child: Called in the child, with whether ``before`` was called.
    """
    _hooks.append(_Hooks(before, in_parent, in_child))


def check() -> None:
    """Do the child's part of a fork that Python did not see, if this process is such a child."""
    if os.getpid() != _pid:
        with _arriving:
            if os.getpid() != _pid:
                _arrive(seen=False)


def _arrive(*, seen: bool) -> None:
    global _pid  # noqa: PLW0603 - one process, one number
    for hooks in _hooks:
        hooks.in_child(seen)
    _pid = os.getpid()


def _before() -> None:
    global _forking  # noqa: PLW0603 - as above
    check()  # this process may be such a child itself
    for hooks in reversed(_hooks):
        hooks.before()
    _forking = threading.get_ident()


def _in_parent() -> None:
    global _forking  # noqa: PLW0603 - as above
    _forking = None
    for hooks in _hooks:
        hooks.in_parent()


def _in_child() -> None:
    global _forking
    seen, _forking = _forking == threading.get_ident(), None
    _arrive(seen=seen)


os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
