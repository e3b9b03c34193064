"""``contentdb url``: print URLs by which others read blobs from the object store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from contentdb.cli.options import Age, digests_argument
from contentdb.cli.session import digest_of, each, json_option, open_store, quiet_option
from contentdb.cli.show import json_line, line

if TYPE_CHECKING:
    from datetime import timedelta

__all__ = ["url"]


@click.command(short_help="Print URLs that read blobs from the object store.")
@digests_argument
@click.option(
    "--expires",
    type=Age(),
    metavar="AGE",
    default="1h",
    show_default=True,
    help="As in 90s, 2h; 7d at most.",
)
@json_option
@quiet_option
@click.pass_context
def url(
    context: click.Context, digests: tuple[str, ...], expires: timedelta, as_json: bool, quiet: bool
) -> None:
    """Print the digest and a URL, one line for each object of a blob, in their order.

    A URL gives access to its object until it expires, without a credential. -q prints
    only the URLs.
    """
    store = open_store(context, reads=True)

    def show(prefix: str) -> None:
        digest = digest_of(store, prefix)
        urls = store.urls(digest, expires=expires)
        if as_json:
            json_line({"digest": digest, "urls": urls})
            return
        for one in urls:
            line(one if quiet else f"{digest} {one}")

    each(context, digests, show)
