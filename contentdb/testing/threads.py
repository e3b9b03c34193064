"""Running calls at once, so that they meet."""

from __future__ import annotations

from concurrent.futures import Future
from functools import partial
from threading import Barrier, Thread
from typing import TYPE_CHECKING, Final, TypeVar

from contentdb.errors import ContentDBError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LIMIT_S", "begun", "together"]

LIMIT_S: Final = 30.0
"""When a call that must return is taken to hang; no test that passes comes near it."""

T = TypeVar("T")


def begun(call: Callable[[], T]) -> Future[T]:
    """Start a call in a thread of its own, which keeps nobody from ending should it hang."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001  # whoever asks for the result gets it
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return future


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

    running = [begun(partial(outcome, call)) for call in calls]
    return [one.result(LIMIT_S) for one in running]
