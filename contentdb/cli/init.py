"""``contentdb init`` and ``contentdb migrate``: make a store, or bring its index up to date."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, Literal

import click

from contentdb.cli.progress import bar
from contentdb.cli.session import (
    dry_run_option,
    json_option,
    open_store,
    quiet_option,
    root_of,
)
from contentdb.cli.show import escape, json_line, line
from contentdb.engine import Capability

__all__ = ["init", "migrate"]


@click.command(short_help="Make the store.")
@click.option(
    "--shared",
    type=click.Choice(["group"]),
    help="Let all members of its directory's group write to it.",
)
@json_option
@quiet_option
@click.pass_context
def init(
    context: click.Context, shared: Literal["group"] | None, as_json: bool, quiet: bool
) -> None:
    """Make the store; an existing one is not changed."""
    store = open_store(context, create=True, shared=shared, needs=Capability.UPKEEP)
    if as_json:
        json_line({"root": str(store.root)})
    elif not quiet:
        line(f"store at {escape(str(store.root))}")


@click.command(short_help="Bring an older store's index up to date.")
@dry_run_option
@json_option
@quiet_option
@click.pass_context
def migrate(context: click.Context, dry_run: bool, as_json: bool, quiet: bool) -> None:
    """Bring the index of an older store up to this contentdb's revision, whole or not at all."""
    import contentdb

    if dry_run:
        record: dict[str, Any] = {"needed": _is_needed(context)}
    else:
        with nullcontext() if quiet else bar(None, what="migrating"):
            record = {"revision": contentdb.migrate(root_of(context))}
    if as_json:
        json_line(record)
    elif not quiet:
        line(_sentence(**record))


def _is_needed(context: click.Context) -> bool:
    from contentdb.errors import MigrationNeededError

    try:
        open_store(context, needs=Capability.UPKEEP)
    except MigrationNeededError:
        return True
    return False


def _sentence(*, revision: str | None = None, needed: bool = False) -> str:
    if revision is not None:
        return f"index at revision {revision}"
    return "would migrate the index" if needed else "the index is up to date"
