"""What the user's interrupt does to the threads that wait for a registry."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentdb.oci.registry import Registry

__all__ = ["interrupting"]


@contextmanager
def interrupting(registry: Registry) -> Iterator[None]:
    """Break what other threads ask a registry when this one is interrupted, e.g. by SIGINT.

    Around a pool of threads and within it: the wait for the pool's end can be interrupted too.
    """
    try:
        yield
    except Exception:
        raise
    except BaseException:
        registry.interrupt()
        raise
