"""The command line: parse, call the library, print, choose the exit code."""

from __future__ import annotations

import gc
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
    try:
        contentdb.main(prog_name="contentdb")
    finally:
        gc.freeze()
