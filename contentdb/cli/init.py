"""``contentdb init`` and ``contentdb migrate``: make a store, or bring its index up to date."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, Literal

import click

from contentdb.cli.options import Size
from contentdb.cli.progress import bar
from contentdb.cli.session import (
    any_root_of,
    database_of,
    dry_run_option,
    json_option,
    open_store,
    quiet_option,
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
@click.option(
    "--pack-below",
    type=Size(),
    metavar="SIZE",
    help="Keep blobs of fewer bytes in packs, not in files of their own; 32KiB is a good choice.",
)
@click.option(
    "--objects",
    metavar="URL",
    help="For --root postgresql://…: keep the bytes at s3://BUCKET/PREFIX.",
)
@click.option("--endpoint", metavar="URL", help="The address of that object store, if not AWS's.")
@json_option
@quiet_option
@click.pass_context
def init(
    context: click.Context,
    shared: Literal["group"] | None,
    pack_below: int | None,
    objects: str | None,
    endpoint: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Make the store; an existing one is not changed."""
    if (database := database_of(context)) is not None:
        if shared is not None or pack_below is not None:
            raise click.UsageError("--shared and --pack-below are for a store on files", context)
        place = _init_database(context, database, objects, endpoint)
        if as_json:
            json_line({"root": place})
        elif not quiet:
            line(f"store at {escape(place)}")
        return
    if objects is not None or endpoint is not None:
        raise click.UsageError("--objects and --endpoint are for --root postgresql://…", context)
    store = open_store(
        context, create=True, shared=shared, pack_below=pack_below, needs=Capability.UPKEEP
    )
    if as_json:
        json_line({"root": str(store.root)})
    elif not quiet:
        line(f"store at {escape(str(store.root))}")


def _init_database(
    context: click.Context, root: str, objects: str | None, endpoint: str | None
) -> str:
    import contentdb

    if objects is None:
        raise click.UsageError("--objects is missing: s3://BUCKET/PREFIX", context)
    with contentdb.open(root, objects=objects, endpoint=endpoint) as store:
        return store.place


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
            record = {"revision": contentdb.migrate(any_root_of(context))}
    if as_json:
        json_line(record)
    elif not quiet:
        line(_sentence(**record))


def _is_needed(context: click.Context) -> bool:
    from contentdb.errors import MigrationNeededError

    try:
        open_store(context, needs=Capability.PRUNE)
    except MigrationNeededError:
        return True
    return False


def _sentence(*, revision: str | None = None, needed: bool = False) -> str:
    if revision is not None:
        return f"index at revision {revision}"
    return "would migrate the index" if needed else "the index is up to date"
