"""Errors at the command line: one table from class to exit code, one line on standard error."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Final

import click
from click.exceptions import NoArgsIsHelpError

from contentdb.cli.show import escape
from contentdb.cli.stopping import Terminated, what_stopped
from contentdb.errors import (
    ContentDBError,
    InvalidArgumentError,
    InvalidFilterError,
    NotFoundError,
    RefLockedError,
    StoreNotFoundError,
)

__all__ = ["EXIT_CODES", "FOUND", "conclude", "exit_code_of", "tell"]

FOUND: Final = 3
"""Exit code of a `verify` that found something."""


EXIT_CODES: Final[tuple[tuple[type[BaseException], int], ...]] = (
    (NotFoundError, 4),
    (StoreNotFoundError, 4),
    (RefLockedError, 5),
    (InvalidArgumentError, 2),
    (click.UsageError, 2),
    (BrokenPipeError, 141),
    (Terminated, 143),
    (KeyboardInterrupt, 130),
    (click.Abort, 130),
    (ContentDBError, 1),
    (click.ClickException, 1),
    (OSError, 1),
)
"""The first class that fits decides. An error that fits none is a bug and ends in a traceback."""


def exit_code_of(error: BaseException) -> int:
    """Return the exit code of an error of the table."""
    return next(code for kind, code in EXIT_CODES if isinstance(error, kind))


def tell(error: BaseException) -> None:
    """Print an error of the table in one line on standard error; raise any other."""
    if not isinstance(error, tuple(kind for kind, _ in EXIT_CODES)):
        raise error
    with suppress(OSError):  # standard error may be closed
        print(_sentence(error), file=sys.stderr)  # noqa: T201 - the output of a command line


def conclude(error: BaseException) -> int:
    """Tell the error that ended a command, and return the exit code; raise one that is a bug."""
    _flush_or_drop()
    cause = what_stopped(error)
    if not isinstance(cause, BrokenPipeError):  # the reader, such as `head`, ended normally
        tell(cause)
    return exit_code_of(cause)


def _flush_or_drop() -> None:
    """Flush stdout, or drop its buffer: else Python's flush at exit reports the error again."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _sentence(error: BaseException) -> str:
    if isinstance(error, NoArgsIsHelpError):
        return error.format_message()
    return f"contentdb: {_reason(error)}"


def _reason(error: BaseException) -> str:
    if isinstance(error, InvalidFilterError):  # three lines, the last with a caret
        return "\n".join(escape(line) for line in str(error).split("\n"))
    if isinstance(error, click.UsageError):
        return _usage(error)
    if isinstance(error, click.ClickException):
        return escape(error.format_message())
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return escape(str(error) or "interrupted")
    if isinstance(error, OSError) and error.filename is not None:
        return escape(f"{error.filename}: {error.strerror}")
    return escape(str(error)) + _hint(error)


def _usage(error: click.UsageError) -> str:
    if isinstance(error, click.NoSuchOption) and (advice := _misplaced(error)):
        return advice
    where = "" if error.ctx is None else f" (see {error.ctx.command_path} --help)"
    return escape(" ".join(error.format_message().split())).removesuffix(".") + where


def _misplaced(error: click.NoSuchOption) -> str:
    """Return advice for an option on the wrong side of the command; empty if it is not that."""
    if error.ctx is None:
        return ""
    group = error.ctx.find_root()
    ours = {name for parameter in group.command.params for name in parameter.opts}
    name = error.option_name
    if error.ctx is not group and name in ours:
        return f"{name} goes before the command: contentdb {name} … {error.ctx.info_name} …"
    if error.ctx is group and name in {"--json", "-q", "--quiet"}:
        return f"{name} goes behind the command: contentdb COMMAND {name}"
    return ""


def _hint(error: BaseException) -> str:
    if isinstance(error, NotFoundError) and error.ref is not None:
        return "; `contentdb active` lists what there is"
    if isinstance(error, NotFoundError) and error.digest is not None:  # a registry's has neither
        return "; `contentdb ls` lists what there is"
    return ""
