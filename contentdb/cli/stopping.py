"""SIGINT and SIGTERM: during a command they raise, at other times they end the process at once.

Python's own handler raises wherever the main thread is: during imports, during the clean-up after
an earlier signal, during the interpreter's shutdown. The user would see a traceback, or Python
would print the exception and ignore it. So this module's handler raises once, while a command
runs, and otherwise ends the process. That is safe: a store survives a kill at any moment.
"""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal  # without its enumerations, whose module takes 3 ms to import

__all__ = ["Terminated", "end_at_once", "unwind", "what_stopped"]

_NUMBERS = (signal.SIGINT, signal.SIGTERM)
_GRACE_S = 1.0
"""Seconds for which the clean-up ignores more signals: a user may hold Ctrl-C down."""
_first: list[tuple[float, KeyboardInterrupt]] = []
"""The time of the first signal, and the exception that it raised."""


class Terminated(KeyboardInterrupt):
    """Raised for SIGTERM, so that the command cleans up as for SIGINT."""

    exit_code = 128 + signal.SIGTERM


def end_at_once() -> None:
    """Let a signal end the process at once, silently; for times with nothing to clean up."""
    _install(raising=False)


def unwind() -> None:
    """Let the first signal raise, so that the command cleans up and prints how to resume.

    Signals within the next second are ignored; a later one ends the process at once.
    """
    _install(raising=True)


def what_stopped(error: BaseException) -> BaseException:
    """Return the exception of the first signal if there was one, which caused the error."""
    return error if isinstance(error, KeyboardInterrupt) or not _first else _first[0][1]


def _install(*, raising: bool) -> None:
    ours = (_end, _raise, signal.SIG_DFL, signal.default_int_handler)
    for number in _NUMBERS:
        if signal.getsignal(number) in ours:  # a signal that the parent set to be ignored stays so
            signal.signal(number, _raise if raising else _end)


def _end(number: int, _frame: object) -> None:
    os._exit(128 + number)


def _raise(number: int, _frame: object) -> None:
    if not _first:
        error = Terminated() if number == signal.SIGTERM else KeyboardInterrupt()
        _first.append((time.monotonic(), error))
        raise error
    if time.monotonic() - _first[0][0] > _GRACE_S:
        os._exit(128 + number)
