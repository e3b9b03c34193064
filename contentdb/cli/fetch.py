"""``contentdb fetch``: write one object of a registry to standard output, for pipes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from contentdb.cli.registry_options import connect, registry_options

if TYPE_CHECKING:
    from contentdb.oci.registry.registry import Registry

__all__ = ["fetch"]


@click.command(short_help="Write an object of a registry to standard output.")
@click.argument("repository")
@click.argument("object", metavar="TAG|DIGEST")
@click.option(
    "--media-type",
    "media_types",
    metavar="TYPE",
    multiple=True,
    help="Accept only a manifest of this type; may be repeated.",
)
@registry_options
def fetch(repository: str, object: str, media_types: tuple[str, ...], **options: Any) -> None:  # noqa: A002, ANN401 - click names and passes them
    """Write a manifest, by tag or digest, or a blob, by digest, to standard output.

    The bytes are hashed while they are written: a wrong digest fails at the end.
    """
    from contentdb.oci.documents.media_types import is_document
    from contentdb.oci.reference import parse_reference, parse_repository

    place = parse_repository(repository)
    joint = "@" if ":" in object else ":"
    wanted = parse_reference(f"{place}{joint}{object}")
    with connect(wanted, **options) as registry:
        if wanted.digest is None or any(map(is_document, media_types)):
            _manifest(registry, place.repository, wanted.object, media_types)
        else:
            _blob_or_manifest(registry, place.repository, wanted.digest)
    sys.stdout.buffer.flush()


def _manifest(registry: Registry, repository: str, name: str, media_types: tuple[str, ...]) -> None:
    from contentdb.oci.documents.media_types import ACCEPT
    from contentdb.oci.errors import ObjectNotFoundError

    try:
        served = registry.manifest(repository, name, accept=media_types or ACCEPT)
    except ObjectNotFoundError as error:
        if not media_types:
            raise
        advice = "check the name, or leave --media-type out"
        raise ObjectNotFoundError(registry.name, error.object, error.reason, advice) from None
    if media_types and served.media_type not in media_types:
        raise ObjectNotFoundError(
            registry.name,
            f"{repository}:{name}",
            f"it is {served.media_type}",
            "ask for that with --media-type, or leave the option out",
        )
    sys.stdout.buffer.write(served.data)


def _blob_or_manifest(registry: Registry, repository: str, digest: str) -> None:
    from contentdb.digest import Digest
    from contentdb.oci.errors import ObjectNotFoundError

    try:
        _blob(registry, repository, Digest(digest))
    except ObjectNotFoundError as error:
        try:
            _manifest(registry, repository, digest, ())
        except ObjectNotFoundError:
            raise error from None


def _blob(registry: Registry, repository: str, digest: str) -> None:
    from contentdb.digest import Digest, Hasher
    from contentdb.oci.errors import HostileRegistryError
    from contentdb.oci.transfer.download import blob_chunks

    parsed = Digest(digest)
    hasher = Hasher(parsed.algorithm)
    for chunk in blob_chunks(registry, repository, parsed):
        hasher.update(chunk)
        sys.stdout.buffer.write(chunk)
    if hasher.digest != parsed:
        raise HostileRegistryError(
            registry.name,
            f"{repository}@{parsed}",
            f"its bytes have the digest {hasher.digest}",
            "what was written is not to be used",
        )
