"""``contentdb pack``, ``unpack`` and ``repack``: move blobs into packs, and out of them."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Literal

import click

from contentdb.cli.progress import bar
from contentdb.cli.session import dry_run_option, json_option, open_store, quiet_option
from contentdb.cli.show import json_line, line, size
from contentdb.engine import Capability

if TYPE_CHECKING:
    from contentdb.digest import Digest
    from contentdb.local.upkeep.repack import Repacked

__all__ = ["pack", "repack", "unpack"]


@click.command(short_help="Move small loose blobs into packs.")
@dry_run_option
@json_option
@quiet_option
@click.pass_context
def pack(context: click.Context, dry_run: bool, as_json: bool, quiet: bool) -> None:
    """Move loose blobs below the store's limit into packs; paths given out before are gone then."""
    _move(context, "pack", dry_run=dry_run, as_json=as_json, quiet=quiet)


@click.command(short_help="Give packed blobs files of their own.")
@dry_run_option
@json_option
@quiet_option
@click.pass_context
def unpack(context: click.Context, dry_run: bool, as_json: bool, quiet: bool) -> None:
    """Give packed blobs files of their own; content that is added later is packed again."""
    _move(context, "unpack", dry_run=dry_run, as_json=as_json, quiet=quiet)


@click.command(short_help="Take back the room of deleted blobs in packs.")
@dry_run_option
@json_option
@quiet_option
@click.pass_context
def repack(context: click.Context, dry_run: bool, as_json: bool, quiet: bool) -> None:
    """Copy what is left in packs with deleted blobs, and remove them.

    A pack to which another process appends is left out.
    """

    def tell(repacked: Repacked) -> None:
        if as_json:
            json_line({"path": repacked.path, "size": repacked.size, "removed": not dry_run})
        elif quiet:
            line(repacked.path)
        else:
            verb = "would remove" if dry_run else "removed"
            line(f"{verb} {repacked.path} ({size(repacked.size)} of deleted blobs)")

    store = open_store(context, needs=Capability.UPKEEP)
    with nullcontext() if quiet else bar(None, what="repacking"):
        store.repack(dry_run=dry_run, progress=tell)


def _move(
    context: click.Context,
    verb: Literal["pack", "unpack"],
    *,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Move blobs, and print each or their number, as the options say."""

    def tell(digest: Digest) -> None:
        if as_json:
            json_line({"digest": digest})
        elif quiet:
            line(digest)

    store = open_store(context, needs=Capability.UPKEEP)
    move = store.pack if verb == "pack" else store.unpack
    with nullcontext() if quiet else bar(None, what=f"{verb}ing"):
        count = move(dry_run=dry_run, progress=tell)
    if not (as_json or quiet):
        line(f"would {verb} {count} blobs" if dry_run else f"{verb}ed {count} blobs")
