"""``contentdb export-oci`` and ``import-oci``: image layouts, as directories and tars."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from contentdb.cli.image_tags import ImageTags, is_fit, tag_options
from contentdb.cli.ingest import standard_input
from contentdb.cli.options import digests_argument
from contentdb.cli.progress import bar
from contentdb.cli.session import json_option, open_store, quiet_option, resolve
from contentdb.cli.show import escape, json_line, line, name_stdout

if TYPE_CHECKING:
    from typing import BinaryIO

    from contentdb import Store
    from contentdb.cli.image_tags import Given
    from contentdb.content import ExportLink
    from contentdb.digest import Digest
    from contentdb.oci import Imported

__all__ = ["export_oci", "import_oci"]

_OTHER_ARCHIVES = (".gz", ".zst", ".xz", ".txz", ".bz2", ".tbz2", ".lz4", ".zip")
"""A directory of such a name would not be what its user meant."""


@click.command("export-oci", short_help="Write images to an OCI image layout.")
@click.argument("target", type=click.Path(allow_dash=True, path_type=Path))
@digests_argument
@click.option(
    "--tag",
    "-t",
    "tags",
    metavar="NAME[=DIGEST]",
    multiple=True,
    help="Name an image; may be repeated. Without DIGEST: the one image, or each in order.",
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
    """Write images to an OCI image layout, a directory or a tar, which docker load takes too.

    TARGET is a tar if it ends in .tar, .tar.gz, .tgz, .tar.zst or .tzst, and standard output if it
    is -. An existing directory keeps its images. Prints the digests, if not to standard output.
    """
    from contentdb import oci

    to_stdout = str(target) == "-"
    _check_target(context, target.name, to_stdout=to_stdout, as_json=as_json)
    store = open_store(context, reads=True)
    resolved = [resolve(store, digest) for digest in digests]
    names = _names(context, store, resolved, tags)
    for digest in resolved:
        _warn_of_absent(store, digest)
    with nullcontext() if quiet else bar(None, what="exporting"):
        if to_stdout:
            try:
                oci.export_tar(store, sys.stdout.buffer, resolved, tags=names)
            except OSError as error:
                raise name_stdout(error) from error
            return
        if _is_archive(target.name):
            exported = oci.export_tar(store, target, resolved, tags=names)
        else:
            exported = oci.export_layout(store, target, resolved, tags=names, link=link)
    for digest in exported:
        if as_json:
            given = names.get(digest, [])
            json_line({"digest": digest, "name": given[0] if given else None, "names": given})
        elif not quiet:
            line(digest)


def _check_target(context: click.Context, name: str, *, to_stdout: bool, as_json: bool) -> None:
    if to_stdout and as_json:
        raise click.UsageError("--json and standard output exclude each other", context)
    if to_stdout and sys.stdout.isatty():
        raise click.UsageError("a tar is not for a terminal; write it to a file or pipe", context)
    if name.endswith(_OTHER_ARCHIVES) and not _is_archive(name):
        advice = "end its name in .tar, .tar.gz or .tar.zst, or write a tar to -"
        raise click.UsageError(f"{name}: no archive of this kind is written; {advice}", context)


def _is_archive(name: str) -> bool:
    from contentdb.oci.layout.compressed import SUFFIXES

    return name.endswith(tuple(SUFFIXES))


def _warn_of_absent(store: Store, digest: Digest) -> None:
    """Tell of an index that goes out with some of its platforms alone."""
    from contentdb.oci.layout.write import left_out

    absent = left_out(store, digest)
    if absent:
        _warn(
            f"{digest}: {len(absent)} of the manifests that it lists are not stored, first "
            f"{absent[0]}; import-oci takes such a layout with --partial, some tools do not: "
            "export the digest of one platform's manifest"
        )


def _names(
    context: click.Context, store: Store, digests: list[Digest], tags: tuple[str, ...]
) -> dict[Digest, list[str]]:
    """Return the names of each digest: those with a digest, the rest in order."""
    names: dict[Digest, list[str]] = {}
    in_order = [tag for tag in tags if "=" not in tag]
    if len(in_order) > len(digests) > 1:
        raise click.UsageError("there are more tags than digests; give NAME=DIGEST", context)
    for n, tag in enumerate(in_order):
        names.setdefault(digests[n if len(digests) > 1 else 0], []).append(tag)
    for tag in tags:
        name, equals, digest = tag.partition("=")
        if not equals:
            continue
        found = resolve(store, digest)
        if found not in digests:
            raise click.UsageError(f"--tag {tag}: this digest is not exported", context)
        names.setdefault(found, []).append(name)
    if any(not name for given in names.values() for name in given):
        raise click.UsageError("a tag is empty", context)
    return names


@click.command("import-oci", short_help="Store the images of an OCI image layout.")
@click.argument("source", type=click.Path(exists=True, allow_dash=True, path_type=Path))
@click.option(
    "--link",
    type=click.Choice(["copy", "reflink", "hardlink"]),
    default="reflink",
    show_default=True,
    help="How a directory's files become blobs; hardlink only if nothing will write to them.",
)
@click.option(
    "--partial",
    is_flag=True,
    help="Of what was cut off, or lacks platforms, store what is whole.",
)
@tag_options
@json_option
@quiet_option
@click.pass_context
def import_oci(
    context: click.Context,
    /,
    source: Path,
    link: ExportLink,
    partial: bool,
    tags: tuple[str, ...],
    no_tag: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Store all images of an OCI image layout or of an archive by docker save, and tag them.

    SOURCE is a directory or a tar, plain or compressed by gzip or zstd; - is standard input. Prints
    a line of digest and name for each. -q prints only the digest.
    """
    from contentdb import oci

    taken = source if str(source) != "-" else _piped(context)
    store = open_store(context, create=True, joins=True)
    naming = ImageTags.of(store, tags, no_tag=no_tag)
    with nullcontext() if quiet else bar(None, what="importing"):
        images = oci.import_layout(store, taken, link=link, partial=partial)
    stored = {image.digest for image in images if image.digest not in image.missing}
    ambiguous = len(stored) > 1 and bool(naming.names)
    for image in images:
        _warn_of_missing(image)
        is_stored = image.digest in stored
        given = _tag(store, naming, image) if is_stored and not ambiguous else ()
        if as_json:
            json_line(image._asdict() | {"tags": [one._asdict() for one in given]})
        elif is_stored:
            line(image.digest if quiet else f"{image.digest} {escape(image.name or '-')}")
        for one in given if not (as_json or quiet) else ():
            if one.was:
                _warn(escape(one.sentence()))
    if ambiguous:
        raise click.UsageError(
            "--tag names one image, and there are several; they are stored, without a tag: give "
            "each its own by contentdb tag DIGEST NAME",
            context,
        )


def _tag(store: Store, naming: ImageTags, image: Imported) -> tuple[Given, ...]:
    """Tag an image; a name in it that cannot be a tag is told."""
    own = image.name
    if own is not None and naming.wanted and not naming.names and not is_fit(own):
        _warn(f"{image.digest}: no tag, since its name cannot be one: {escape(own[:80])}")
        own = None
    return naming.give(store, image.digest, image.media_type, own)


def _piped(context: click.Context) -> BinaryIO:
    if sys.stdin is not None and sys.stdin.isatty():
        raise click.UsageError("a terminal gives no tar; give one as in `< FILE`", context)
    return standard_input(context)


def _warn_of_missing(image: Imported) -> None:
    if not image.missing:
        return
    what = "it" if image.digest in image.missing else f"{len(image.missing)} of its parts"
    first = next((digest for digest in image.missing if digest != image.digest), image.digest)
    _warn(f"{image.digest}: left out {what}, since the layout lacks {first}")


def _warn(sentence: str) -> None:
    print(f"contentdb: {sentence}", file=sys.stderr)  # noqa: T201 - standard error of a command
