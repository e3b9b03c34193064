"""``contentdb init`` and ``contentdb migrate``: a store is made, or brought up to date."""

from __future__ import annotations

import click

from contentdb.cli.session import json_option, open_store, quiet_option, root_of
from contentdb.cli.show import escaped, json_line, line

__all__ = ["init", "migrate"]


@click.command()
@json_option
@quiet_option
@click.pass_context
def init(context: click.Context, as_json: bool, quiet: bool) -> None:
    """Make the store; one that is there already is left as it is."""
    store = open_store(context, create=True)
    if as_json:
        json_line({"root": str(store.root)})
    elif not quiet:
        line(f"store at {escaped(str(store.root))}")


@click.command()
@json_option
@quiet_option
@click.pass_context
def migrate(context: click.Context, as_json: bool, quiet: bool) -> None:
    """Bring the index of an older store up to this contentdb's revision."""
    import contentdb

    revision = contentdb.migrate(root_of(context))
    if as_json:
        json_line({"revision": revision})
    elif not quiet:
        line(f"index at revision {revision}")
