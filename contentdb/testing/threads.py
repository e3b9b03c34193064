"""Running calls at once, in threads."""

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
"""Seconds after which a call counts as hanging; no passing test comes near it."""

T = TypeVar("T")


def begun(call: Callable[[], T]) -> Future[T]:
    """Start a call in a daemon thread, so that a call that hangs does not keep the process."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001  # `Future.result` raises it
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return future


def together(*calls: Callable[[], T]) -> list[T | ContentDBError]:
    """Start all calls at one moment, each in its own thread; return their outcomes in order.

    The outcome is the result, or an error of the store; any other error is raised.
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
