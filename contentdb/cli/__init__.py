"""The command line: parse, call the library, print, choose the exit code."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command that the process's arguments name, and exit."""
    from contentdb.cli.app import contentdb

    contentdb.main(prog_name="contentdb")
