"""How SIGINT and SIGTERM end the process: by unwinding what is half done, or at once.

Python's own handler raises wherever the main thread is: while modules are imported, within a
clean-up that an earlier signal began, in the midst of the process's end. Each is a traceback
for the user, or worse: an exception that Python tells and then forgets. So a handler of ours
raises once, while a command runs, and ends the process everywhere else. That is safe at any
moment, since a store survives a kill at any moment.
"""

from __future__ import annotations

import os
import signal
import time

__all__ = ["Terminated", "end_at_once", "unwind", "what_stopped"]

_NUMBERS = (signal.SIGINT, signal.SIGTERM)
_GRACE_S = 1.0
"""How long the clean-up is left alone by more signals: Ctrl-C may be held down."""
_first: list[tuple[float, KeyboardInterrupt]] = []
"""When the first signal came, and what it raised."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, made to unwind like SIGINT."""

    exit_code = 128 + signal.SIGTERM


def end_at_once() -> None:
    """Let a signal end the process without a word, where there is nothing to clean up."""
    _listen(raising=False)


def unwind() -> None:
    """Let the first signal raise, so that the command tidies up and says how to go on.

    Those that follow within a second are not heard; one that comes later does not wait.
    """
    _listen(raising=True)


def what_stopped(error: BaseException) -> BaseException:
    """Give what a signal raised, where an error only came of that; else the error itself."""
    return error if isinstance(error, KeyboardInterrupt) or not _first else _first[0][1]


def _listen(*, raising: bool) -> None:
    ours = (_end, _raise, signal.SIG_DFL, signal.default_int_handler)
    for number in _NUMBERS:
        if signal.getsignal(number) in ours:  # one that the process was told to ignore stays so
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
