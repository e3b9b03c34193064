"""``contentdb cat`` and ``contentdb export``: write a blob to standard output or a file."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from contentdb.cli.options import digest_argument
from contentdb.cli.progress import bar
from contentdb.cli.session import digest_of, json_option, open_store, quiet_option
from contentdb.cli.show import escape, json_line, line, shorten, write_bytes
from contentdb.errors import OffsetOutOfRangeError
from contentdb.streams.pump import PIECE_BYTES

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from contentdb import Store
    from contentdb.content import ExportLink

__all__ = ["cat", "export"]


@click.command(short_help="Write a blob to standard output.")
@digest_argument
@click.option("--offset", type=click.IntRange(0), default=0, metavar="BYTES", help="Begin here.")
@click.option("--length", type=click.IntRange(0), metavar="BYTES", help="Write at most this many.")
@click.pass_context
def cat(context: click.Context, digest: str, offset: int, length: int | None) -> None:
    """Write a blob to standard output. A whole blob is verified, a part is not."""
    store = open_store(context, reads=True)
    _write_out(store, digest_of(store, digest), offset, length)


def _write_out(store: Store, digest: str, offset: int = 0, length: int | None = None) -> None:
    whole = offset == 0 and length is None
    with store.open(digest, verify=whole) as reader:
        if offset > reader.size:
            raise OffsetOutOfRangeError(offset, reader.size)
        left = reader.size - offset if length is None else min(length, reader.size - offset)
        reader.seek(offset)
        with _bar(left, digest, quiet=sys.stdout.isatty()):
            # The read that reaches the end verifies, so a whole blob is read until b"" comes.
            while piece := reader.read(PIECE_BYTES if whole else min(PIECE_BYTES, left)):
                write_bytes(piece)
                left -= len(piece)


def _bar(size: int, digest: str, *, quiet: bool) -> AbstractContextManager[None]:
    return nullcontext() if quiet else bar(size, what=shorten(digest))


@click.command(short_help="Write a blob to a file, or to standard output.")
@digest_argument
@click.argument("path", type=click.Path())
@click.option(
    "--link",
    type=click.Choice(["reflink", "hardlink", "copy"]),
    default="reflink",
    show_default=True,
    help="How the file gets the bytes, if the filesystem allows it.",
)
@json_option
@quiet_option
@click.pass_context
def export(
    context: click.Context, digest: str, path: str, link: str, as_json: bool, quiet: bool
) -> None:
    """Write a blob to PATH, verified, whole or not at all; PATH - is standard output.

    It replaces a regular file of yours, but no link, no device, no file of another user, and
    nothing inside a store.
    """
    if path == "-" and as_json:
        raise click.UsageError("--json and standard output exclude each other", context)
    store = open_store(context, reads=True)
    full = digest_of(store, digest)
    if path == "-":
        _write_out(store, full)
        return
    if path.endswith("/"):
        raise click.UsageError(f"{path} is a directory; name a file in it", context)
    with _bar(store.info(full).size, full, quiet=quiet):
        made = str(store.export(full, Path(path), link=cast("ExportLink", link)))
    if as_json:
        json_line({"digest": full, "path": made})
    elif not quiet:
        line(escape(made))
