"""Pushes an image to a registry: only missing objects, and a document after its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from contentdb.digest import Digest
from contentdb.errors import InvalidArgumentError
from contentdb.oci.documents.graph import tree_of
from contentdb.oci.errors import IncompleteIndexError
from contentdb.oci.reference import Reference, parse_reference
from contentdb.oci.registry.interrupts import pool_of, results_of
from contentdb.oci.registry.registry import Registry
from contentdb.oci.transfer.progress import Listener, silent
from contentdb.oci.transfer.send import SPARSE_REFUSED, Departures

if TYPE_CHECKING:
    from contentdb.content import ContentStore
    from contentdb.oci.documents.graph import Tree
    from contentdb.oci.documents.manifest import Descriptor

__all__ = ["Pushed", "push"]


class Pushed(NamedTuple):
    """The result of a push, with what it did to each blob."""

    digest: Digest
    uploaded: tuple[Digest, ...]
    mounted: tuple[Digest, ...]
    existing: tuple[Digest, ...]
    warnings: tuple[str, ...] = ()
    """What could not be made sure of, a sentence each; the registry took everything."""


def push(
    store: ContentStore,
    digest: str,
    reference: str | Reference,
    *,
    registry: Registry | None = None,
    chunk_bytes: int | None = None,
    sparse: bool = False,
    jobs: int = 4,
    listen: Listener = silent,
) -> Pushed:
    """Push an image or artifact, and read its manifests back.

    The call may be repeated: it sends nothing that the registry says it has. It verifies bytes as
    it reads them from the store. Each blob is sent in one request; if the registry refuses that, in
    chunks. An artifact with a ``subject`` is found by it afterwards: see `Registry.referrers`.

    Args:
        store: The store to push from.
        digest: The index or manifest.
        reference: The destination; its digest, if any, must be ``digest``.
        registry: The client to use; by default a new anonymous https client.
        chunk_bytes: Send larger blobs in chunks of this size first; in one request if the registry
            refuses that.
        sparse: Push an index without those of its manifests that are not stored, which not every
            registry takes.
        jobs: How many blobs to upload at once.
        listen: Called for each step, from several threads.

    Raises:
        IncompleteIndexError: Manifests of an index are neither stored nor in the registry.
        NotFoundError: A part is not stored.
        RegistryError: The registry failed.
    """
    place = parse_reference(reference) if isinstance(reference, str) else reference
    top = Digest(digest)
    if place.digest is not None and place.digest != top:
        raise InvalidArgumentError(f"{place} names another digest than {top}")
    own = registry is None
    client = Registry(place.registry) if registry is None else registry
    client.resume()
    try:
        tree = tree_of(store, top)
        if tree.absent and not sparse:
            _refuse_incomplete(client, place, tree)
        departures = Departures(store, client, place, chunk_bytes, listen)
        with pool_of(jobs, departures.stop, client) as pool:
            results_of([pool.submit(departures.send, blob) for blob in tree.blobs])
        for node in tree.nodes[:-1]:
            departures.publish(node.digest, node.data, node.document.media_type, name=node.digest)
        advice = f"{SPARSE_REFUSED}: push {' or '.join(_stored(tree))} instead"
        departures.publish(
            top,
            tree.top.data,
            tree.top.document.media_type,
            name=place.tag or top,
            advice=advice if tree.absent else "",
        )
    finally:
        if own:
            client.close()
    return Pushed(top, *departures.sort(tree.blobs), tuple(departures.warnings))


def _refuse_incomplete(registry: Registry, place: Reference, tree: Tree) -> None:
    """Raise unless the registry has the manifests of an index that the store lacks."""
    absent = tree.absent
    if all(registry.has_manifest(place.repository, part.digest) for part in absent):
        return
    missing = {str(part.digest): _platform(part) for part in absent}
    raise IncompleteIndexError(tree.top.digest, missing, _stored(tree))


def _stored(tree: Tree) -> dict[str, str]:
    """Return the manifests of a tree that could be pushed alone, with their platforms."""
    named = {
        part.digest: _platform(part) for node in tree.nodes for part in node.document.manifests
    }
    return {
        str(node.digest): named.get(node.digest, "?")
        for node in tree.nodes
        if not node.document.is_index
    }


def _platform(entry: Descriptor) -> str:
    names = [entry.platform.get(key, "") for key in ("os", "architecture", "variant")]
    return "/".join(name for name in names if name) or "no platform"
