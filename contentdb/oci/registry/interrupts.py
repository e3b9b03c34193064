"""Ends the threads that wait for a registry: if the user interrupts, or if another one failed."""

from __future__ import annotations

from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from threading import local
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from threading import Event as Flag

    from contentdb.oci.registry.registry import Registry

__all__ = ["interrupting", "pool_of", "results_of", "stop_flag", "stoppable"]

T = TypeVar("T")

_LOOK_UP_S: Final = 0.5
_of_thread: Final = local()


@contextmanager
def interrupting(*registries: Registry) -> Iterator[None]:
    """Cut the registries' exchanges in other threads if this one is interrupted, e.g. by SIGINT.

    Use it around a pool of threads and again inside, since the wait for the pool's end can be
    interrupted too.
    """
    try:
        yield
    except Exception:
        raise
    except BaseException:
        for registry in registries:
            registry.interrupt()
        raise


@contextmanager
def stoppable(stopped: Flag) -> Iterator[None]:
    """End what this thread waits for at a registry once a flag is set, and begin nothing more."""
    before = stop_flag()
    _of_thread.stopped = stopped
    try:
        yield
    finally:
        _of_thread.stopped = before


def stop_flag() -> Flag | None:
    """Return the flag that ends this thread's waits, if there is one."""
    return getattr(_of_thread, "stopped", None)


@contextmanager
def pool_of(
    threads: int, stop: Callable[[], object], *registries: Registry
) -> Iterator[ThreadPoolExecutor]:
    """Yield a pool of threads that talk to registries; leave it when all of them have ended.

    Args:
        threads: How many.
        stop: Called if the block raises: it ends the threads' work. No more work begins then.
        registries: Whose exchanges an interrupt cuts.
    """
    with (
        interrupting(*registries),
        ThreadPoolExecutor(threads, "contentdb-oci") as pool,
        interrupting(*registries),
    ):
        try:
            yield pool
        except BaseException:
            stop()
            pool.shutdown(wait=False, cancel_futures=True)
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
