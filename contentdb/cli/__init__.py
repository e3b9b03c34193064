"""The command line: parse, call the library, print, choose the exit code.

This file is small and imports next to nothing: until `main` listens to signals itself, Ctrl-C is
Python's, which tells it by a traceback.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # `typing` takes ten times as long as the rest
if TYPE_CHECKING:
    from sys import UnraisableHookArgs

__all__ = ["main"]

_INTERRUPTED = 130


def main() -> None:
    """Run the command that the process's arguments name, and exit."""
    sys.unraisablehook = _unraisable
    try:
        _run()
    except KeyboardInterrupt as stop:  # where no command of ours hears it
        os._exit(getattr(stop, "exit_code", _INTERRUPTED))


def _unraisable(told: UnraisableHookArgs) -> None:
    """End the process where an interrupt hits what cannot raise: it would be told and forgotten."""
    if issubclass(told.exc_type, KeyboardInterrupt):
        os._exit(getattr(told.exc_type, "exit_code", _INTERRUPTED))
    sys.__unraisablehook__(told)


def _run() -> None:
    from contentdb.cli import stopping

    stopping.end_at_once()
    import gc

    # Half of a short command's time is imports, and a sixth of that is the collector looking for
    # garbage among what was just made and stays. It is told to leave that alone, at the end too.
    gc.disable()
    from contentdb.cli.app import contentdb

    gc.enable()
    gc.freeze()
    from contentdb.cli import session

    session.leave_open = True
    stopping.unwind()
    try:
        contentdb.main(prog_name="contentdb")
    except SystemExit as stop:
        stopping.end_at_once()
        _end(stop.code)


def _end(code: object) -> None:
    """End the process as it is: all that it promised is done.

    The index's log stays for the next command. Who closes it last folds it into the database
    and removes it, which costs four syncs a command, and the interpreter's own end costs more.
    """
    from contextlib import suppress

    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)
