"""Names of files, or digests, that a command reads from standard input or finds in a directory."""

from __future__ import annotations

import os
import sys
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

import click

from contentdb.cli.show import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


__all__ = ["files_below", "null_option", "read_names", "require_names"]

_PIECE_BYTES: Final = 64 * 1024

null_option = click.option(
    "-0", "--null", "null", is_flag=True, help="Names on standard input end with NUL, not newline."
)


def require_names(
    context: click.Context,
    names: tuple[str, ...],
    metavar: str,
    *,
    option: str,
    from_stdin: bool,
    null: bool,
) -> None:
    """Raise a usage error unless names come either as arguments or from standard input."""
    if null and not from_stdin:
        raise click.UsageError(f"-0 goes with {option}", context)
    if from_stdin and names:
        raise click.UsageError(f"give names, or {option}, not both", context)
    if not from_stdin and not names:
        raise click.UsageError(f"Missing argument '{metavar}'; or give {option}", context)


def read_names(context: click.Context, *, null: bool) -> Iterator[str]:
    """Yield the names on standard input as they come; empty ones are left out."""
    if sys.stdin is None:
        raise click.UsageError("standard input is closed", context)
    end = b"\0" if null else b"\n"
    rest = b""
    while piece := _read_some(sys.stdin.buffer):
        *names, rest = (rest + piece).split(end)
        yield from map(os.fsdecode, filter(None, names))
    if rest:
        yield os.fsdecode(rest)


def _read_some(stream: Any) -> bytes:  # noqa: ANN401 - typed as if it lacked read1
    piece: bytes = stream.read1(_PIECE_BYTES)
    return piece


def files_below(
    names: Iterable[str], *, tell: Callable[[OSError], object], skip: Callable[[str], object]
) -> Iterator[str]:
    """Yield each name, and in the place of a directory the regular files below it, sorted.

    Args:
        names: Files and directories.
        tell: Called with the error of a directory that cannot be read.
        skip: Called with the path of anything else below a directory, such as a symbolic link.
    """
    for name in names:
        if os.path.isdir(name):  # noqa: PTH112 - text, as click gives it
            yield from _below(name, tell, skip)
        else:
            yield name


def _below(
    top: str, tell: Callable[[OSError], object], skip: Callable[[str], object]
) -> Iterator[str]:
    try:
        with os.scandir(top) as found:
            entries = sorted(found, key=attrgetter("name"))
    except OSError as error:
        tell(error)
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _below(entry.path, tell, skip)
        elif entry.is_file(follow_symlinks=False):
            yield entry.path
        else:
            skip(escape(entry.path))
