"""Walks the tree under a stored document: the parts to export along with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from contentdb.errors import NotFoundError
from contentdb.oci.documents.manifest import (
    MANIFEST_BYTES,
    MOST_LEVELS,
    Descriptor,
    Document,
    parse_document,
)
from contentdb.oci.documents.media_types import is_document
from contentdb.oci.errors import InvalidManifestError
from contentdb.oci.labels import MEDIA_TYPE

if TYPE_CHECKING:
    from contentdb.content import ContentStore
    from contentdb.digest import Digest

__all__ = ["Node", "Tree", "tree_of"]

_ADVICE: Final = "give the digest of an index or a manifest"


class Node(NamedTuple):
    """A document of the tree, with its bytes."""

    digest: Digest
    data: bytes
    document: Document


class Tree(NamedTuple):
    """A document and all its parts."""

    nodes: tuple[Node, ...]
    """Every document after its own parts; the document itself comes last."""
    blobs: tuple[Descriptor, ...]

    @property
    def absent(self) -> tuple[Descriptor, ...]:
        """What the indexes list and the store lacked."""
        there = {node.digest for node in self.nodes} | {blob.digest for blob in self.blobs}
        listed = {part.digest: part for node in self.nodes for part in node.document.manifests}
        return tuple(part for digest, part in listed.items() if digest not in there)

    @property
    def top(self) -> Node:
        """The document that the walk began at."""
        return self.nodes[-1]


def tree_of(store: ContentStore, digest: Digest) -> Tree:
    """Walk from a document to its parts, leaving out manifests of an index that are not stored.

    Pulling one platform stores the whole index and one of its manifests, so an index often lacks
    manifests. A manifest that lacks a layer is an error.

    Raises:
        NotFoundError: The document, a config or a layer is not stored.
        InvalidManifestError: The blob is not a manifest or index.
    """
    nodes: dict[Digest, Node] = {}
    blobs: dict[Digest, Descriptor] = {}
    _visit(store, digest, None, nodes, blobs, level=0)
    return Tree(tuple(nodes.values()), tuple(blobs.values()))


def _visit(
    store: ContentStore,
    digest: Digest,
    media_type: str | None,
    nodes: dict[Digest, Node],
    blobs: dict[Digest, Descriptor],
    *,
    level: int,
) -> None:
    if digest in nodes:
        return
    info = store.info(digest)
    if level >= MOST_LEVELS:
        raise InvalidManifestError(f"{digest} is nested too deep in indexes")
    if info.size > MANIFEST_BYTES:
        raise InvalidManifestError(f"{digest} is too long for one; {_ADVICE}")
    data = store.read(digest)
    document = _parse(digest, data, media_type or info.labels.get(MEDIA_TYPE))
    for part in document.parts():
        if document.is_index and not store.exists(part.digest):
            continue
        if document.is_index and is_document(part.media_type):
            _visit(store, part.digest, part.media_type, nodes, blobs, level=level + 1)
        elif store.info(part.digest).size != part.size:
            raise InvalidManifestError(f"{part.digest} does not have {part.size} bytes")
        else:
            blobs.setdefault(part.digest, part)
    if (
        document.is_index
        and document.manifests
        and not any(store.exists(p.digest) for p in document.manifests)
    ):
        raise NotFoundError(digest=document.manifests[0].digest)
    nodes[digest] = Node(digest, data, document)


def _parse(digest: Digest, data: bytes, media_type: str | None) -> Document:
    try:
        return parse_document(data, media_type)
    except InvalidManifestError as error:
        raise InvalidManifestError(f"{digest} is none, {error.reason}; {_ADVICE}") from error
