"""``contentdb add``: store files."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, cast

import click

from contentdb.cli.adding import Printed, store_files, total_bytes
from contentdb.cli.ingest import standard_input
from contentdb.cli.names import files_below, null_option, read_names, require_names
from contentdb.cli.options import labels_option
from contentdb.cli.progress import bar
from contentdb.cli.session import json_option, open_store, quiet_option, tell_and_go_on

if TYPE_CHECKING:
    from collections.abc import Iterable

    from contentdb.content import Link

__all__ = ["add"]


@click.command(short_help="Store files, and print their digests.")
@click.argument("files", metavar="FILE…", nargs=-1, type=click.Path(readable=False))
@click.option("-r", "--recursive", is_flag=True, help="Store all files below a directory.")
@click.option("--stdin-paths", is_flag=True, help="Read the names of the files, one a line.")
@null_option
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
def add(  # noqa: PLR0917 - click passes every option by name
    context: click.Context,
    files: tuple[str, ...],
    recursive: bool,
    stdin_paths: bool,
    null: bool,
    link: str,
    labels: dict[str, str] | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Store each file, and print its digest and name. -q prints only the digest.

    - is standard input. Content already stored is success; the labels are set on it too. Many
    files share the cost of durability: each line is printed once its blob is durable.
    """
    require_names(
        context, files, "FILE…", option="--stdin-paths", from_stdin=stdin_paths, null=null
    )
    if "-" in files and link == "move":
        raise click.UsageError("standard input cannot be moved; name a file", context)
    if files.count("-") > 1:
        raise click.UsageError("standard input can be read once", context)
    stdin = standard_input(context) if "-" in files else None
    done = Printed(partial(tell_and_go_on, context), as_json=as_json, quiet=quiet)
    names: Iterable[str] = read_names(context, null=null) if stdin_paths else files
    if recursive:
        names = files_below(names, tell=done.failed, skip=done.skipped)
    store = open_store(context, create=True, joins=True)
    total = None if recursive or stdin_paths else total_bytes(files)
    with nullcontext() if quiet else bar(total, what="adding"):
        for name, answer in store_files(store, names, stdin, labels, cast("Link", link)):
            done.answered(name, answer)
    if recursive or stdin_paths or len(files) > 1:
        done.sum_up()
