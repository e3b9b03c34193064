"""``contentdb pull``: download an image from a registry into the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from contentdb.cli.image_tags import ImageTags, tag_options
from contentdb.cli.registry_options import connect, jobs_option, registry_options
from contentdb.cli.session import open_store
from contentdb.cli.transfer_result import result_options

if TYPE_CHECKING:
    from contentdb.cli.transfer_result import Telling

__all__ = ["pull"]


@click.command(short_help="Download an image from a registry into the store.")
@click.argument("reference")
@click.option(
    "--platform",
    "platforms",
    metavar="OS/ARCH[/VARIANT]",
    multiple=True,
    help="This platform instead of this machine's; may be repeated.",
)
@click.option("--all-platforms", is_flag=True, help="All platforms that the index names.")
@click.option(
    "--with-referrers", is_flag=True, help="Signatures and other artifacts of what is pulled too."
)
@jobs_option("How many connections at once, for objects and ranges of large ones.")
@tag_options
@result_options
@registry_options
@click.pass_context
def pull(
    context: click.Context,
    /,
    *,
    reference: str,
    platforms: tuple[str, ...],
    all_platforms: bool,
    with_referrers: bool,
    jobs: int,
    tags: tuple[str, ...],
    no_tag: bool,
    telling: Telling,
    **options: Any,  # noqa: ANN401 - click passes them
) -> None:
    """Download an image's index, manifest, config and layers into the store.

    The same command resumes a pull that was interrupted. The image is tagged with REFERENCE, unless
    that has only a digest. Prints the digest of the object that REFERENCE names; standard error has
    that of the manifest chosen from an index.
    """
    from contentdb import oci

    place = oci.parse_reference(reference)
    if platforms and all_platforms:
        raise click.UsageError("--platform and --all-platforms exclude each other")
    store = open_store(context, create=True, joins=True)
    naming = ImageTags.of(store, tags, no_tag=no_tag)
    with connect(place, **options) as registry, telling.transfer() as watch:
        pulled = oci.pull(
            store,
            place,
            registry=registry,
            platform=platforms,
            all_platforms=all_platforms,
            with_referrers=with_referrers,
            jobs=jobs,
            listen=watch,
        )
    own = place._replace(digest=None)
    given = naming.give(store, pulled.digest, pulled.media_type, str(own) if own.tag else None)
    telling.tell(
        pulled,
        watch,
        f"pulled {place}",
        moved="fetched",
        counts=("present_bytes", "elapsed_s"),
        details=tuple(one.sentence() for one in given if one.was),
        more={"tags": [one._asdict() for one in given]},
    )
