"""``contentdb export-oci`` and ``import-oci``: OCI image layouts, as directories and tars."""

from __future__ import annotations

import json
from pathlib import Path

import click

import contentdb
from contentdb.cli.registry_options import load_extra

__all__ = ["export_oci", "import_oci"]


@click.command("export-oci")
@click.argument("target", type=click.Path(path_type=Path))
@click.argument("digests", metavar="DIGEST…", nargs=-1, required=True)
@click.option(
    "--tag",
    "-t",
    "tags",
    metavar="NAME",
    multiple=True,
    help="Name the images, in order, as skopeo and umoci ask for them.",
)
@click.option(
    "--link",
    type=click.Choice(["hardlink", "reflink", "copy"]),
    default="hardlink",
    show_default=True,
    help="How files get into a directory; a tar always holds copies.",
)
@click.pass_context
def export_oci(
    context: click.Context,
    /,
    target: Path,
    digests: tuple[str, ...],
    tags: tuple[str, ...],
    link: str,
) -> None:
    """Write images to an OCI image layout: a tar if TARGET ends in .tar, else a directory.

    An existing directory keeps the images it has. Prints the digests.
    """
    load_extra()
    from contentdb import oci

    if len(tags) > len(digests):
        raise click.UsageError("there are more tags than digests")
    with contentdb.open(context.find_root().params["root"], create=False) as store:
        resolved = [store.resolve(digest) for digest in digests]
        names = dict(zip(resolved, tags, strict=False))
        if target.suffix == ".tar":
            exported = oci.export_tar(store, target, resolved, tags=names)
        else:
            exported = oci.export_layout(store, target, resolved, tags=names, link=link)
    for digest in exported:
        click.echo(digest)


@click.command("import-oci")
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--link",
    type=click.Choice(["copy", "reflink", "hardlink"]),
    default="reflink",
    show_default=True,
    help="How a directory's files come in; hardlink only if nobody writes to it any more.",
)
@click.option("--json", "as_json", is_flag=True, help="One object a line.")
@click.pass_context
def import_oci(context: click.Context, /, source: Path, link: str, as_json: bool) -> None:
    """Take all images of an OCI image layout, a directory or an uncompressed tar.

    Prints a line of digest and name for each.
    """
    load_extra()
    from contentdb import oci

    with contentdb.open(context.find_root().params["root"]) as store:
        for image in oci.import_layout(store, source, link=link):
            line = json.dumps(image._asdict()) if as_json else f"{image.digest} {image.name or '-'}"
            click.echo(line)
