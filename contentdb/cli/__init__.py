"""The command line: parse, call the library, print, choose the exit code.

This file is small and imports almost nothing: until `main` installs its own signal handlers, Python
answers Ctrl-C with a traceback.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # `typing` takes ten times as long as the rest
if TYPE_CHECKING:
    from collections.abc import Callable
    from sys import UnraisableHookArgs

__all__ = ["main"]

_INTERRUPTED = 130


def main() -> None:
    """Run the command that the process's arguments name, and exit."""
    sys.unraisablehook = _end_if_interrupted
    try:
        _run()
    except KeyboardInterrupt as stop:  # outside of a command, which would handle it
        os._exit(getattr(stop, "exit_code", _INTERRUPTED))


def _end_if_interrupted(ignored: UnraisableHookArgs) -> None:
    """End the process for an interrupt in code that cannot raise; Python would only print it."""
    if issubclass(ignored.exc_type, KeyboardInterrupt):
        os._exit(getattr(ignored.exc_type, "exit_code", _INTERRUPTED))
    sys.__unraisablehook__(ignored)


def _run() -> None:
    from contentdb.cli import quick

    closed = None in (sys.stdin, sys.stdout, sys.stderr)
    call = None if closed else quick.recognise(sys.argv[1:])
    if call is not None and (answer := quick.find_answer(call)) is not None:
        from contentdb.cli.quick import blobs

        blobs.print_and_exit(answer)
    from contentdb.cli import stopping

    stopping.end_at_once()
    import gc

    # Imports take half of a short command's time, and a sixth of that is the garbage collector
    # searching objects that stay. So it is off during the imports, and `freeze` makes it ignore
    # these objects later, at the end too.
    gc.disable()
    command = (None if call is None else quick.prepare(call)) or _import_whole()
    gc.enable()
    gc.freeze()
    stopping.unwind()
    try:
        command()
    except SystemExit as stop:
        stopping.end_at_once()
        _end(stop.code)


def _import_whole() -> Callable[[], object]:
    from contentdb.cli import session
    from contentdb.cli.app import contentdb

    session.leave_open = True
    return lambda: contentdb.main(prog_name="contentdb")


def _end(code: object) -> None:
    """Flush the output and end the process without closing anything.

    All that the command promised is durable already. The index's log stays for the next command:
    the process that closes it last must write it into the database and remove it, which costs
    four syncs. The interpreter's own shutdown costs more than that.
    """
    from contextlib import suppress

    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)
