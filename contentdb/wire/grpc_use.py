"""Remembers which process has used gRPC: the child of a fork of it must not use gRPC.

gRPC's threads do not exist in the child, its locks may stay held for ever, and its connections
belong to the parent. Comparing process ids detects `os.fork` and a fork made in C alike.
"""

from __future__ import annotations

import os

__all__ = ["is_forked_from_user", "note_use"]

_user: int | None = None
"""Id of the process that used gRPC first, in this process or its ancestors."""


def note_use() -> None:
    """Note that this process is about to use gRPC, unless an ancestor has."""
    global _user  # noqa: PLW0603 - one process, one number
    if _user is None:
        _user = os.getpid()


def is_forked_from_user() -> bool:
    """Return whether this process is a child of one that has used gRPC."""
    return _user is not None and _user != os.getpid()
