"""Which process has used gRPC: no child of a fork of it can.

gRPC's threads do not come along, its locks may be held for ever, and its connections are the
parent's. `os.fork` and a fork made in C are alike to this: only the process's id is looked at.
"""

from __future__ import annotations

import os

__all__ = ["is_forked_from_user", "note_use"]

_user: int | None = None
"""The process that was the first of its line to use gRPC."""


def note_use() -> None:
    """Note that this process is about to use gRPC."""
    global _user  # noqa: PLW0603 - one process, one number
    if _user is None:
        _user = os.getpid()


def is_forked_from_user() -> bool:
    """Whether this process is a child of one that has used gRPC."""
    return _user is not None and _user != os.getpid()
