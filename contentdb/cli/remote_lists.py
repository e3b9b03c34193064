"""``contentdb referrers`` and ``contentdb remote-tags``: list what a registry has."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from contentdb.cli.options import LIMIT
from contentdb.cli.registry_options import connect, registry_options
from contentdb.cli.session import json_option, quiet_option
from contentdb.cli.show import escape, json_line, line, size, table

if TYPE_CHECKING:
    from contentdb.oci.documents.manifest import Descriptor

__all__ = ["referrers", "remote_tags"]


@click.command(short_help="List the artifacts that a registry has for an image.")
@click.argument("reference")
@click.option("--artifact-type", metavar="TYPE", help="Only those of this type.")
@click.option(
    "--remove",
    metavar="DIGEST",
    help="Take this artifact out of the index under the tag; the artifact itself stays.",
)
@json_option
@quiet_option
@registry_options
def referrers(
    reference: str,
    artifact_type: str | None,
    remove: str | None,
    as_json: bool,
    quiet: bool,
    **options: Any,  # noqa: ANN401 - click passes them
) -> None:
    """List signatures and other artifacts whose subject is this manifest. -q prints only digests.

    By the registry's API, or the index under the tag sha256-… where there is no API. What --remove
    leaves is listed.
    """
    from contentdb.digest import Digest
    from contentdb.oci.reference import parse_reference

    removed = None if remove is None else Digest(remove)
    place = parse_reference(reference)
    with connect(place, writes=removed is not None, mirrors=False, **options) as registry:
        digest = place.digest or registry.manifest(place.repository, place.object).digest
        if removed is not None:
            registry.unlist_referrer(place.repository, digest, removed)
        found = list(registry.referrers(place.repository, digest, artifact_type=artifact_type))
    if as_json:
        for one in found:
            json_line(_record(one))
    elif quiet:
        for one in found:
            line(one.digest)
    else:
        heads = ("DIGEST", f"{'SIZE':>10}", "ARTIFACT TYPE")
        for text in table(heads, map(_row, found)):
            line(text)


def _record(one: Descriptor) -> dict[str, Any]:
    return {
        "digest": one.digest,
        "size": one.size,
        "media_type": one.media_type,
        "artifact_type": one.artifact_type,
        "annotations": dict(one.annotations),
    }


def _row(one: Descriptor) -> tuple[str, str, str]:
    return one.digest, f"{size(one.size):>10}", escape(one.artifact_type or one.media_type)


@click.command(short_help="List the tags of a repository in a registry.")
@click.argument("repository")
@click.option("--limit", type=LIMIT, help="List at most this many.")
@json_option
@quiet_option
@registry_options
def remote_tags(
    repository: str,
    limit: int | None,
    as_json: bool,
    quiet: bool,
    **options: Any,  # noqa: ANN401 - click passes them
) -> None:
    """List the tags of a repository, a line each, in the registry's order."""
    del quiet  # a line is a tag alone
    from contentdb.oci.reference import parse_repository

    place = parse_repository(repository)
    with connect(place, mirrors=False, **options) as registry:
        for tag in islice(registry.tags(place.repository), limit):
            if as_json:
                json_line({"tag": tag})
            else:
                line(tag)
