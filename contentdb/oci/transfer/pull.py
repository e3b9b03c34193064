"""Pulls an image into the store; each blob is an ingest with its digest as the ref, in parallel.

So two pulls that need one layer fetch it once (the second waits for the first), and a pull that
was killed is resumed by the next one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from contentdb.oci.reference import Reference, parse_reference
from contentdb.oci.registry.registry import Registry
from contentdb.oci.transfer.fetch import Arrivals
from contentdb.oci.transfer.progress import Listener, silent
from contentdb.oci.transfer.resolve import Chosen, Documents, wanted_platforms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contentdb.content import ContentStore
    from contentdb.digest import Digest
    from contentdb.oci.documents.platforms import Platform

__all__ = ["Pulled", "pull"]


class Pulled(NamedTuple):
    """The result of a pull; all of it is stored and verified."""

    digest: Digest
    """Digest of the index or manifest that the reference names."""
    media_type: str
    documents: tuple[Digest, ...]
    """Index and manifests, the one of the reference first; then those of artifacts."""
    blobs: tuple[Digest, ...]
    """Configs and layers."""
    fetched_bytes: int
    """Bytes of content that came over the network; the rest was stored already."""
    chosen: tuple[Chosen, ...] = ()
    """A manifest for each platform asked for, in that order; none if nothing was to be chosen."""
    referrers: tuple[Digest, ...] = ()
    """Artifacts of the other documents: signatures, SBOMs and the like."""
    warnings: tuple[str, ...] = ()
    """Artifacts that were left out, a sentence each."""


def pull(
    store: ContentStore,
    reference: str | Reference,
    *,
    registry: Registry | None = None,
    platform: str | Platform | Sequence[str | Platform] | None = None,
    all_platforms: bool = False,
    with_referrers: bool = False,
    jobs: int = 4,
    listen: Listener = silent,
) -> Pulled:
    """Pull an image or artifact into the store.

    Everything is durable on return. The call may be repeated, killed and run concurrently: it
    requests nothing that is stored already, but always resolves a tag anew.

    Args:
        store: The store to pull into.
        reference: The image, e.g. ``127.0.0.1:5000/a/b:v1``.
        registry: The client to use; by default a new anonymous https client.
        platform: Which manifest of an index, e.g. ``linux/arm64``, or several; the best that
            runs on this machine by default.
        all_platforms: Pull every manifest of an index.
        with_referrers: Pull the artifacts too that name one of the documents as their subject,
            and the artifacts of those, at most 4096 in 8 levels. The registry is asked for them
            each time, as for a tag.
        jobs: How many connections to use: for blobs, and for ranges of large ones. Ranges need up
            to 16 MiB each in the folder for temporary files.
        listen: Called for each step, from several threads.

    Raises:
        RegistryError: The registry failed; the next pull resumes what has come so far.
        InvalidManifestError: A document is invalid.
        ContentDBError: The store failed.
    """
    place = parse_reference(reference) if isinstance(reference, str) else reference
    own = registry is None
    client = Registry(place.registry) if registry is None else registry
    client.resume()
    try:
        documents = Documents(
            store, client, place, None if all_platforms else wanted_platforms(platform), listen
        )
        digest = documents.bring()
        referrers = documents.bring_referrers(list(documents.entered)) if with_referrers else ()
        arrivals = Arrivals(store, client, place, listen)
        arrivals.fetch_all(documents.blobs.values(), jobs)
    finally:
        if own:
            client.close()
    return Pulled(
        digest,
        documents.media_types[digest],
        tuple(documents.entered),
        tuple(documents.blobs),
        documents.fetched_bytes + arrivals.fetched_bytes,
        documents.chosen,
        referrers,
        tuple(documents.warnings),
    )
