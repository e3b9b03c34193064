"""``contentdb add``: take files in."""

from __future__ import annotations

from pathlib import Path

import click

from contentdb.cli.options import labels_option
from contentdb.cli.session import each, json_option, open_store, quiet_option
from contentdb.cli.show import escaped, info_record, json_line, line

__all__ = ["add"]


@click.command()
@click.argument("files", metavar="FILE…", nargs=-1, required=True)
@click.option(
    "--link",
    type=click.Choice(["copy", "reflink", "hardlink", "move"]),
    default="copy",
    show_default=True,
    help="How the bytes get in, where the filesystem allows it.",
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
    """Store each file, and print its digest and name; -q the digest alone."""
    store = open_store(context, create=True)

    def take(name: str) -> None:
        info = store.add(Path(name), labels=labels, link=link)
        if as_json:
            json_line(info_record(info) | {"file": name})
        else:
            line(info.digest if quiet else f"{info.digest} {escaped(name)}")

    each(context, files, take)
