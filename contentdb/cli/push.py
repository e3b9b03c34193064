"""``contentdb push``: upload an image from the store to a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from contentdb.cli.options import digest_argument
from contentdb.cli.registry_options import (
    chunk_bytes_option,
    connect,
    jobs_option,
    registry_options,
)
from contentdb.cli.session import open_store, resolve
from contentdb.cli.transfer_result import result_options

if TYPE_CHECKING:
    from contentdb.cli.transfer_result import Telling

__all__ = ["push"]


@click.command(short_help="Upload an image to a registry.")
@digest_argument
@click.argument("reference")
@click.option(
    "--sparse",
    is_flag=True,
    help="Push an index without the platforms that are not stored; not every registry takes that.",
)
@chunk_bytes_option
@jobs_option("How many objects at once.")
@result_options
@registry_options
@click.pass_context
def push(
    context: click.Context,
    /,
    *,
    digest: str,
    reference: str,
    sparse: bool,
    chunk_bytes: int | None,
    jobs: int,
    telling: Telling,
    **options: Any,  # noqa: ANN401 - click passes them
) -> None:
    """Upload an index or manifest, and those of its parts that the registry lacks.

    DIGEST may be a tag's name. Manifests are read back and compared. Prints the digest; where the
    registry does not show what it took, a warning too.
    """
    from contentdb import oci

    place = oci.parse_reference(reference)
    store = open_store(context, reads=True)
    with (
        connect(place, writes=True, **options) as registry,
        telling.transfer() as watch,
    ):
        pushed = oci.push(
            store,
            resolve(store, digest),
            place,
            registry=registry,
            chunk_bytes=chunk_bytes,
            sparse=sparse,
            jobs=jobs,
            listen=watch,
        )
    telling.tell(
        pushed,
        watch,
        f"pushed {place}",
        moved="sent",
        counts=("present_bytes", "mounted_bytes", "elapsed_s"),
        more={"sent_bytes": watch.fields()["moved_bytes"]},
    )
