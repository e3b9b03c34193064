"""What the user's interrupt does to the threads that wait for a registry."""

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


def results_of(futures: Iterable[Future[T]]) -> list[T]:
    """Wait until all are done, or raise what the first that fails has raised.

    A signal that comes just as this thread falls asleep, or to another one, does not wake it;
    so it wakes by itself now and then, and hears of it.
    """
    every = list(futures)
    while True:
        done, left = wait(every, _LOOK_UP_S, FIRST_EXCEPTION)
        for future in done:
            future.result()
        if not left:
            return [future.result() for future in every]
