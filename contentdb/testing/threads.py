"""Running calls at once, so that they meet."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING, Final, TypeVar

from contentdb.errors import ContentDBError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LIMIT_S", "together"]

LIMIT_S: Final = 60.0
"""When a call that must return is taken to hang; no test that passes comes near it."""

T = TypeVar("T")


def together(*calls: Callable[[], T]) -> list[T | ContentDBError]:
    """Start all calls at one moment, each in its own thread; give what each came to, in order.

    An error of the store's is an outcome like another; any other error is raised.
    """
    start = Barrier(len(calls))

    def outcome(call: Callable[[], T]) -> T | ContentDBError:
        start.wait(LIMIT_S)
        try:
            return call()
        except ContentDBError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as threads:
        running = [threads.submit(outcome, call) for call in calls]
        return [one.result(LIMIT_S) for one in running]
