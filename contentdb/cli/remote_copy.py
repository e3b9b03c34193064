"""``contentdb copy``: copy an image from registry to registry through the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from contentdb.cli.pair_options import connect_pair, pair_options
from contentdb.cli.registry_options import chunk_bytes_option, jobs_option
from contentdb.cli.session import open_store
from contentdb.cli.show import size
from contentdb.cli.transfer_result import result_options

if TYPE_CHECKING:
    from contentdb.cli.transfer_result import Telling

__all__ = ["copy"]


@click.command(short_help="Copy an image from a registry to a registry.")
@click.argument("source")
@click.argument("target")
@click.option(
    "--platform",
    "platforms",
    metavar="OS/ARCH[/VARIANT]",
    multiple=True,
    help="This platform's manifest instead of this machine's. If repeated: the index with these.",
)
@click.option(
    "--all", "--all-platforms", "all_platforms", is_flag=True, help="The index and all it names."
)
@click.option(
    "--with-referrers", is_flag=True, help="Signatures and other artifacts of what is copied too."
)
@chunk_bytes_option
@jobs_option("How many objects at once.")
@result_options
@pair_options
@click.pass_context
def copy(
    context: click.Context,
    /,
    *,
    source: str,
    target: str,
    platforms: tuple[str, ...],
    all_platforms: bool,
    with_referrers: bool,
    chunk_bytes: int | None,
    jobs: int,
    telling: Telling,
    **options: Any,  # noqa: ANN401 - click passes them
) -> None:
    """Copy an image from SOURCE to TARGET, and only what TARGET's registry lacks.

    What has to be sent is fetched into the store, verified, and stays there: the same command
    resumes a copy that was interrupted. Prints the digest of what TARGET names now.
    """
    from contentdb import oci

    origin, place = oci.parse_reference(source), oci.parse_reference(target)
    if platforms and all_platforms:
        raise click.UsageError("--platform and --all exclude each other")
    store = open_store(context, create=True, joins=True)
    with (
        connect_pair(origin, place, **options) as (reads, writes),
        telling.transfer() as watch,
    ):
        copied = oci.copy(
            store,
            origin,
            place,
            source_registry=reads,
            target_registry=writes,
            platform=platforms,
            all_platforms=all_platforms,
            with_referrers=with_referrers,
            chunk_bytes=chunk_bytes,
            jobs=jobs,
            listen=watch,
        )
    telling.tell(
        copied,
        watch,
        f"copied {origin} to {place}",
        moved="sent",
        counts=("moved_bytes", "present_bytes", "mounted_bytes", "elapsed_s"),
        details=(f"{size(copied.fetched_bytes)} fetched into the store",),
    )
