"""A signal is heard by who waits for threads, wherever it was delivered."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from contentdb.oci.registry.interrupts import results_of

if TYPE_CHECKING:
    from collections.abc import Iterator


class StopError(Exception):
    pass


@pytest.fixture
def stopping() -> Iterator[None]:
    """SIGUSR1 ends what the main thread does."""

    def stop(*_: object) -> None:
        raise StopError

    before = signal.signal(signal.SIGUSR1, stop)
    yield
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.usefixtures("stopping")
def test_a_signal_to_another_thread_ends_the_wait() -> None:
    """It stands for one that comes just as the waiting thread falls asleep: neither wakes it."""
    release = threading.Event()

    def work() -> None:
        release.wait(0.1)  # the main thread is asleep by then
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        release.wait(30)

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        with pytest.raises(StopError):
            results_of([future])
        is_over = future.done()
        release.set()
    assert not is_over


def test_the_first_failure_does_not_wait_for_the_rest() -> None:
    release = threading.Event()

    def fail() -> bool:
        raise StopError

    with ThreadPoolExecutor(2) as pool:
        slow, failing = pool.submit(release.wait, 30), pool.submit(fail)
        with pytest.raises(StopError):
            results_of([slow, failing])
        is_over = slow.done()
        release.set()
    assert not is_over


def test_results_come_in_their_order() -> None:
    with ThreadPoolExecutor(2) as pool:
        assert results_of(pool.submit(str, number) for number in range(5)) == list("01234")
