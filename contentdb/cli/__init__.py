"""The command line: parse, call the library, print, choose the exit code."""

from __future__ import annotations

import contextlib
import gc
import os
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command that the process's arguments name, and exit."""
    # Half of a short command's time is imports, and a sixth of that is the collector looking for
    # garbage among what was just made and stays. It is told to leave that alone, at the end too.
    gc.disable()
    try:
        from contentdb.cli.app import contentdb
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        gc.enable()
    gc.freeze()
    from contentdb.cli import session

    session.leave_open = True
    try:
        contentdb.main(prog_name="contentdb")
    except SystemExit as stop:
        _end(stop.code)


def _end(code: object) -> None:
    """End the process as it is: all that it promised is done.

    The index's log stays for the next command. Who closes it last folds it into the database
    and removes it, which costs four syncs a command, and the interpreter's own end costs more.
    """
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)
