"""``contentdb cat`` and ``contentdb export``: bytes out."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from contentdb.cli.session import json_option, open_store, quiet_option
from contentdb.cli.show import escaped, json_line, line
from contentdb.errors import OffsetOutOfRangeError

__all__ = ["cat", "export"]

_PIECE_BYTES = 1 << 20


@click.command()
@click.argument("digest")
@click.option("--offset", type=click.IntRange(0), default=0, metavar="BYTES", help="Begin here.")
@click.option("--length", type=click.IntRange(0), metavar="BYTES", help="At most so many.")
@click.pass_context
def cat(context: click.Context, digest: str, offset: int, length: int | None) -> None:
    """Write a blob to standard output. Read whole, it is verified; a part is not."""
    store = open_store(context)
    whole = offset == 0 and length is None
    with store.open(store.resolve(digest), verify=whole) as reader:
        if offset > reader.size:
            raise OffsetOutOfRangeError(offset, reader.size)
        left = reader.size - offset if length is None else min(length, reader.size - offset)
        reader.seek(offset)
        # The read at the end is the one that verifies, so a whole blob is read until nothing comes.
        while piece := reader.read(_PIECE_BYTES if whole else min(_PIECE_BYTES, left)):
            sys.stdout.buffer.write(piece)
            left -= len(piece)
    sys.stdout.buffer.flush()


@click.command()
@click.argument("digest")
@click.argument("path")
@click.option(
    "--link",
    type=click.Choice(["reflink", "hardlink", "copy"]),
    default="reflink",
    show_default=True,
    help="How the bytes get out, where the filesystem allows it.",
)
@json_option
@quiet_option
@click.pass_context
def export(
    context: click.Context, digest: str, path: str, link: str, as_json: bool, quiet: bool
) -> None:
    """Write a blob to PATH, whole or not at all."""
    store = open_store(context)
    full = store.resolve(digest)
    made = str(store.export(full, Path(path), link=link))
    if as_json:
        json_line({"digest": full, "path": made})
    elif not quiet:
        line(escaped(made))
