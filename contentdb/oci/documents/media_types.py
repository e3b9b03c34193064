"""Media types that a registry serves, and which ones are manifests or indexes.

Sources: https://github.com/opencontainers/image-spec/blob/main/media-types.md and Docker's
image manifest version 2, schema 2. Any other type is an opaque blob.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "ACCEPT",
    "DOCKER_CONFIG",
    "DOCKER_INDEX",
    "DOCKER_LAYER",
    "DOCKER_MANIFEST",
    "INDEXES",
    "LEGACY",
    "MANIFESTS",
    "OCI_CONFIG",
    "OCI_INDEX",
    "OCI_LAYER",
    "OCI_MANIFEST",
    "bare",
    "is_document",
]

OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
DOCKER_INDEX: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
OCI_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
DOCKER_CONFIG: Final = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER: Final = "application/vnd.docker.image.rootfs.diff.tar"
OCI_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
"""A layer that is not compressed; ``+gzip`` or ``+zstd`` is added, ``.gzip`` to Docker's."""

INDEXES: Final = frozenset({OCI_INDEX, DOCKER_INDEX})
MANIFESTS: Final = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
LEGACY: Final = frozenset(
    {
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
    }
)
"""Schema 1 is never accepted: its digest does not cover its bytes."""

ACCEPT: Final = (OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST)
"""Always requested together: for fewer types a registry converts documents or answers 404."""


def bare(header: str | None) -> str | None:
    """Return a Content-Type without its parameters; None if nothing is left."""
    return (header or "").partition(";")[0].strip().lower() or None


def is_document(media_type: str | None) -> bool:
    """Return whether content of this type is a manifest or an index."""
    return media_type in INDEXES or media_type in MANIFESTS
