"""``contentdb export-oci`` and ``import-oci``: OCI image layouts, as directories and tars."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from contentdb.cli.options import digests_argument
from contentdb.cli.progress import bar
from contentdb.cli.session import json_option, open_store, quiet_option
from contentdb.cli.show import escape, json_line, line

if TYPE_CHECKING:
    from contentdb.content import ExportLink

__all__ = ["export_oci", "import_oci"]


@click.command("export-oci", short_help="Write images to an OCI image layout.")
@click.argument("target", type=click.Path(path_type=Path))
@digests_argument
@click.option(
    "--tag",
    "-t",
    "tags",
    metavar="NAME",
    multiple=True,
    help="Name the images, in order, for skopeo and umoci.",
)
@click.option(
    "--link",
    type=click.Choice(["hardlink", "reflink", "copy"]),
    default="hardlink",
    show_default=True,
    help="How files get into a directory; a tar always has copies.",
)
@json_option
@quiet_option
@click.pass_context
def export_oci(
    context: click.Context,
    /,
    target: Path,
    digests: tuple[str, ...],
    tags: tuple[str, ...],
    link: ExportLink,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write images to an OCI image layout: a tar if TARGET ends in .tar, else a directory.

    An existing directory keeps its images. Prints the digests.
    """
    from contentdb import oci

    if str(target) == "-":
        raise click.UsageError("name a directory, or a file that ends in .tar", context)
    if len(tags) > len(digests):
        raise click.UsageError("there are more tags than digests", context)
    store = open_store(context, reads=True)
    resolved = [store.resolve(digest) for digest in digests]
    names = dict(zip(resolved, tags, strict=False))
    with nullcontext() if quiet else bar(None, what="exporting"):
        if target.suffix == ".tar":
            exported = oci.export_tar(store, target, resolved, tags=names)
        else:
            exported = oci.export_layout(store, target, resolved, tags=names, link=link)
    for digest in exported:
        if as_json:
            json_line({"digest": digest, "name": names.get(digest)})
        elif not quiet:
            line(digest)


@click.command("import-oci", short_help="Store the images of an OCI image layout.")
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--link",
    type=click.Choice(["copy", "reflink", "hardlink"]),
    default="reflink",
    show_default=True,
    help="How a directory's files become blobs; hardlink only if nothing will write to them.",
)
@json_option
@quiet_option
@click.pass_context
def import_oci(
    context: click.Context, /, source: Path, link: ExportLink, as_json: bool, quiet: bool
) -> None:
    """Store all images of an OCI image layout, a directory or an uncompressed tar.

    Prints a line of digest and name for each. -q prints only the digest.
    """
    from contentdb import oci

    store = open_store(context, create=True)
    with nullcontext() if quiet else bar(None, what="importing"):
        for image in oci.import_layout(store, source, link=link):
            if as_json:
                json_line(image._asdict())
            else:
                line(image.digest if quiet else f"{image.digest} {escape(image.name or '-')}")
