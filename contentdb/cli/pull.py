"""``contentdb pull``: download an image from a registry into the store."""

from __future__ import annotations

from typing import Any

import click

from contentdb.cli.registry_options import connect, registry_options
from contentdb.cli.session import open_store
from contentdb.cli.show import json_line, line
from contentdb.cli.transfer_bars import transfer

__all__ = ["pull"]


@click.command(short_help="Download an image from a registry into the store.")
@click.argument("reference")
@click.option(
    "--platform", metavar="OS/ARCH[/VARIANT]", help="This platform instead of this machine's."
)
@click.option("--all-platforms", is_flag=True, help="All platforms that the index names.")
@click.option(
    "--jobs",
    "-j",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="How many objects at once.",
)
@click.option("--json", "as_json", is_flag=True, help="One object on one line.")
@click.option("--quiet", "-q", is_flag=True, help="No bars; print only the digest.")
@registry_options
@click.pass_context
def pull(
    context: click.Context,
    /,
    reference: str,
    platform: str | None,
    all_platforms: bool,
    jobs: int,
    as_json: bool,
    quiet: bool,
    **options: Any,  # noqa: ANN401 - click passes them
) -> None:
    """Download an image's index, manifest, config and layers into the store.

    The same command resumes a pull that was interrupted. Prints the digest.
    """
    from contentdb import oci

    place = oci.parse_reference(reference)
    if platform and all_platforms:
        raise click.UsageError("--platform and --all-platforms exclude each other")
    store = open_store(context, create=True)
    with (
        connect(place.registry, **options) as registry,
        transfer(quiet=quiet or as_json) as listen,
    ):
        pulled = oci.pull(
            store,
            place,
            registry=registry,
            platform=platform,
            all_platforms=all_platforms,
            jobs=jobs,
            listen=listen,
        )
    if as_json:
        json_line(pulled._asdict())
    else:
        line(pulled.digest)
