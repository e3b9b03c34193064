"""``contentdb prune``: remove abandoned ingests, orphans and leftovers."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from contentdb.cli.options import Age
from contentdb.cli.progress import bar
from contentdb.cli.session import dry_run_option, json_option, open_store, quiet_option
from contentdb.cli.show import escape, json_line, line, size
from contentdb.engine import Capability

if TYPE_CHECKING:
    from datetime import timedelta

    from contentdb.engine import Pruned

__all__ = ["prune"]


@click.command(short_help="Remove abandoned ingests, orphans and leftovers.")
@click.option(
    "--older-than",
    type=Age(),
    metavar="AGE",
    default="1d",
    show_default=True,
    help="As in 90s, 2h.",
)
@dry_run_option
@json_option
@quiet_option
@click.pass_context
def prune(
    context: click.Context, older_than: timedelta, dry_run: bool, as_json: bool, quiet: bool
) -> None:
    """Remove ingests that no writer holds and files without a row, if they are older than AGE."""

    def tell(pruned: Pruned) -> None:
        if as_json:
            record = {"kind": pruned.kind, "name": pruned.name, "path": str(pruned.path)}
            json_line(record | {"size": pruned.size, "removed": not dry_run})
        elif quiet:
            line(escape(pruned.name))
        else:
            verb = "would remove" if dry_run else "removed"
            line(f"{verb} {pruned.kind} {escape(pruned.name)} ({size(pruned.size)})")

    store = open_store(context, needs=Capability.PRUNE)
    with nullcontext() if quiet else bar(None, what="pruning"):
        store.prune(older_than=older_than.total_seconds(), dry_run=dry_run, progress=tell)
