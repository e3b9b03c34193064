"""``contentdb tags``, ``tag`` and ``untag``: names for blobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from contentdb.cli.listing import print_pages
from contentdb.cli.options import (
    complete_digest,
    complete_tag,
    filters_option,
    labels_option,
)
from contentdb.cli.session import each, json_option, open_store, quiet_option, resolve
from contentdb.cli.show import age, escape, json_line, line, size
from contentdb.digest import Digest
from contentdb.engine import Capability

if TYPE_CHECKING:
    from contentdb.content import Tag

__all__ = ["tag", "tags", "untag"]

_HEADS = ("NAME", "DIGEST", f"{'SIZE':>10}", f"{'AGE':>8}")


@click.command(short_help="List the names of blobs.")
@filters_option
@click.option("--of", "digest", metavar="DIGEST", help="Only the names of this blob.")
@json_option
@quiet_option
@click.pass_context
def tags(
    context: click.Context,
    filters: tuple[str, ...],
    digest: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """List the tags: name, digest, size and age of each. -q prints only the names."""
    store = open_store(context, reads=True, needs=Capability.TAGS)
    found = store.tags(*filters, of=None if digest is None else resolve(store, digest))
    if as_json or quiet:
        for one in found:
            if as_json:
                json_line(_record(one))
            else:
                line(escape(one.name))
        return
    print_pages(_HEADS, map(_row, found))


def _row(tag: Tag) -> tuple[str, str, str, str]:
    bytes_ = "?" if tag.size is None else size(tag.size)
    return escape(tag.name), tag.digest, f"{bytes_:>10}", f"{age(tag.updated_ns):>8}"


def _record(tag: Tag) -> dict[str, Any]:
    return {
        "name": tag.name,
        "digest": tag.digest,
        "media_type": tag.media_type,
        "size": tag.size,
        "created_at": tag.created_at.isoformat(),
        "updated_at": tag.updated_at.isoformat(),
        "labels": dict(tag.labels),
    }


@click.command(short_help="Give a blob a name.")
@click.argument("digest", shell_complete=complete_digest)
@click.argument("name", shell_complete=complete_tag)
@click.option("--media-type", metavar="TYPE", help="The media type of the blob.")
@click.option(
    "--if-is",
    metavar="DIGEST",
    help="Only if the name stands for this digest now; '' only if there is no such tag.",
)
@labels_option
@json_option
@quiet_option
@click.pass_context
def tag(
    context: click.Context,
    digest: str,
    name: str,
    media_type: str | None,
    if_is: str | None,
    labels: dict[str, str] | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Give the blob a NAME, durably; a name that is there moves to it.

    DIGEST may be another name of the blob.
    """
    store = open_store(context, needs=Capability.TAGS)
    asked: dict[str, Any] = {}
    if if_is is not None:
        asked["if_is"] = Digest(if_is) if if_is else None
    made = store.tag(name, resolve(store, digest), media_type=media_type, labels=labels, **asked)
    if as_json:
        json_line(_record(made))
    elif not quiet:
        line(f"{escape(made.name)} {made.digest}")


@click.command(short_help="Remove names of blobs.")
@click.argument("names", metavar="NAME…", nargs=-1, required=True, shell_complete=complete_tag)
@json_option
@quiet_option
@click.pass_context
def untag(context: click.Context, names: tuple[str, ...], as_json: bool, quiet: bool) -> None:
    """Remove each name, durably, and print it. The blobs stay."""
    store = open_store(context, needs=Capability.TAGS)

    def act(name: str) -> None:
        store.untag(name)
        if as_json:
            json_line({"name": name})
        elif not quiet:
            line(escape(name))

    each(context, names, act)
