"""Interrupts the threads that wait for a registry when the user interrupts the caller."""

from __future__ import annotations

from concurrent.futures import FIRST_EXCEPTION, Future, wait
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from contentdb.oci.registry.registry import Registry

__all__ = ["interrupting", "results_of"]

T = TypeVar("T")

_LOOK_UP_S: Final = 0.5


@contextmanager
def interrupting(registry: Registry) -> Iterator[None]:
    """Cut the registry's exchanges in other threads if this one is interrupted, e.g. by SIGINT.

    Use it around a pool of threads and again inside, since the wait for the pool's end can be
    interrupted too.
    """
    try:
        yield
    except Exception:
        raise
    except BaseException:
        registry.interrupt()
        raise


def results_of(futures: Iterable[Future[T]]) -> list[T]:
    """Wait for all futures and return their results, or raise the first failure.

    A signal that arrives just before this thread sleeps, or in another thread, does not wake it.
    So it wakes every `_LOOK_UP_S` seconds, to let Python run the signal's handler.
    """
    every = list(futures)
    while True:
        done, left = wait(every, _LOOK_UP_S, FIRST_EXCEPTION)
        for future in done:
            future.result()
        if not left:
            return [future.result() for future in every]
