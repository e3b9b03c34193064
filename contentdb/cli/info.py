"""``contentdb info`` and ``contentdb label``: show records of blobs, and set their labels."""

from __future__ import annotations

import click

from contentdb.cli.options import digest_argument, digests_argument, read_labels
from contentdb.cli.session import each, json_option, open_store, quiet_option
from contentdb.cli.show import age, escape, info_record, json_line, line, size

__all__ = ["info", "label"]


@click.command(short_help="Print the records of blobs.")
@digests_argument
@json_option
@quiet_option
@click.pass_context
def info(context: click.Context, digests: tuple[str, ...], as_json: bool, quiet: bool) -> None:
    """Print size, times and labels of each blob. -q prints only its whole digest."""
    store = open_store(context, reads=True)

    def show(prefix: str) -> None:
        found = store.info(store.resolve(prefix))
        if as_json:
            json_line(info_record(found))
            return
        line(found.digest)
        if quiet:
            return
        line(f"  size     {size(found.size)} ({found.size} bytes)")
        line(f"  created  {found.created_at:%Y-%m-%d %H:%M:%S}Z, {age(found.created_ns)}")
        line(f"  updated  {found.updated_at:%Y-%m-%d %H:%M:%S}Z, {age(found.updated_ns)}")
        for key, value in sorted(found.labels.items()):
            line(f"  label    {escape(key)}={escape(value)}")

    each(context, digests, show)


@click.command(short_help="Set or remove labels of a blob.")
@digest_argument
@click.argument("changes", metavar="K=V…", nargs=-1, required=True)
@json_option
@quiet_option
@click.pass_context
def label(
    context: click.Context, digest: str, changes: tuple[str, ...], as_json: bool, quiet: bool
) -> None:
    """Set labels of a blob: k=v sets one, k= and k- remove one; the others stay."""
    labels = read_labels(changes)
    store = open_store(context)
    fields = [f"labels.{key}" for key in labels]
    changed = store.update(store.resolve(digest), labels, fields=fields)
    if as_json:
        json_line(info_record(changed))
    elif not quiet:
        for key, value in sorted(changed.labels.items()):
            line(f"{escape(key)}={escape(value)}")
