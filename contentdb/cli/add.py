"""``contentdb add``: store files."""

from __future__ import annotations

import os
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from contentdb.cli.ingest import standard_input
from contentdb.cli.options import labels_option
from contentdb.cli.progress import bar
from contentdb.cli.session import each, json_option, open_store, quiet_option
from contentdb.cli.show import escaped, info_record, json_line, line

if TYPE_CHECKING:
    from contentdb.content import Link

__all__ = ["add"]


@click.command(short_help="Store files, and print their digests.")
@click.argument("files", metavar="FILE…", nargs=-1, required=True, type=click.Path(readable=False))
@click.option(
    "--link",
    type=click.Choice(["copy", "reflink", "hardlink", "move"]),
    default="copy",
    show_default=True,
    help="How a file becomes a blob, if the filesystem allows it.",
)
@labels_option
@json_option
@quiet_option
@click.pass_context
def add(
    context: click.Context,
    files: tuple[str, ...],
    link: str,
    labels: dict[str, str] | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Store each file, and print its digest and name. -q prints only the digest.

    - is standard input. Content already stored is success; the labels are set on it too.
    """
    if "-" in files and link == "move":
        raise click.UsageError("standard input cannot be moved; name a file", context)
    if files.count("-") > 1:
        raise click.UsageError("standard input can be read once", context)
    stdin = standard_input(context) if "-" in files else None
    store = open_store(context, create=True)

    def take(name: str) -> None:
        try:
            info = store.add(
                stdin if stdin is not None and name == "-" else Path(name),
                labels=labels,
                link=cast("Link", link),
            )
        except OSError as error:  # of standard input; the library wraps those of files
            raise OSError(error.errno, error.strerror, "standard input") from error
        if as_json:
            json_line(info_record(info) | {"file": name})
        else:
            line(info.digest if quiet else f"{info.digest} {escaped(name)}")

    with nullcontext() if quiet else bar(_total_bytes(files), what="adding"):
        each(context, files, take)


def _total_bytes(names: tuple[str, ...]) -> int:
    """Return the sizes of all files together, as far as they are known."""
    total = 0
    for name in names:
        with suppress(OSError):
            total += os.stat(name).st_size  # noqa: PTH116 - a Path for each would double the cost
    return total
