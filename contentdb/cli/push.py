"""``contentdb push``: upload an image from the store to a registry."""

from __future__ import annotations

from typing import Any

import click

from contentdb.cli.options import digest_argument
from contentdb.cli.registry_options import connect, registry_options
from contentdb.cli.session import open_store
from contentdb.cli.show import json_line, line
from contentdb.cli.transfer_bars import transfer

__all__ = ["push"]


@click.command(short_help="Upload an image to a registry.")
@digest_argument
@click.argument("reference")
@click.option(
    "--jobs",
    "-j",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="How many objects at once.",
)
@click.option("--json", "as_json", is_flag=True, help="One object on one line.")
@click.option("--quiet", "-q", is_flag=True, help="No bars.")
@registry_options
@click.pass_context
def push(
    context: click.Context,
    /,
    digest: str,
    reference: str,
    jobs: int,
    as_json: bool,
    quiet: bool,
    **options: Any,  # noqa: ANN401 - click passes them
) -> None:
    """Upload an index or manifest, and those of its parts that the registry lacks.

    Manifests are read back and compared. Prints the digest.
    """
    from contentdb import oci

    place = oci.parse_reference(reference)
    store = open_store(context, reads=True)
    with (
        connect(place.registry, **options) as registry,
        transfer(quiet=quiet or as_json) as listen,
    ):
        pushed = oci.push(
            store, store.resolve(digest), place, registry=registry, jobs=jobs, listen=listen
        )
    if as_json:
        json_line(pushed._asdict())
    else:
        line(pushed.digest)
