"""Finds out what a layout lacks, before anything of it is stored.

A layout lists more than it has if it was cut off, or if it has fewer platforms than its index.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from contentdb.digest import Digest
from contentdb.oci.documents.manifest import (
    MANIFEST_BYTES,
    MOST_LEVELS,
    Descriptor,
    Document,
    parse_document,
)
from contentdb.oci.documents.media_types import LEGACY, is_document
from contentdb.oci.errors import InvalidManifestError, shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import BinaryIO

__all__ = [
    "Files",
    "Found",
    "Survey",
    "blob_name",
    "children_of",
    "names_document",
    "read_document",
    "read_small",
]

_WITHDRAWN: Final = "application/vnd.oci.artifact.manifest.v1+json"
"""Of a draft of OCI 1.1; it lists its parts as ``blobs``."""


class Files(Protocol):
    """The common interface of directories and tars: files by name."""

    def open(self, name: str) -> BinaryIO:
        """Open a regular file; `FileNotFoundError` if there is none."""

    def path(self, name: str) -> Path | None:
        """Return the file's own path, if it has one."""


class Found(NamedTuple):
    """What there is of one part."""

    usable: bool
    """Whether it can be imported, or need not be: an index needs one of its manifests, a manifest
    all its parts."""
    here: bool
    """Whether the layout has its file whole."""
    missing: tuple[Digest, ...]
    """Itself, or those under it, that neither the layout nor the store has."""


class Survey:
    """Walks a layout's documents, reading them alone; each part is looked at once."""

    def __init__(self, files: Files, is_stored: Callable[[Digest], bool]) -> None:
        self._files = files
        self._is_stored = is_stored
        self._found: dict[tuple[Digest, bool], Found] = {}

    def look(self, part: Descriptor, *, is_manifest: bool, level: int = 0) -> Found:
        """Return what there is of a part.

        Args:
            part: Its descriptor.
            is_manifest: Whether it is a manifest or index to go into, not a blob.
            level: How many documents are above it.

        Raises:
            InvalidManifestError: A document breaks the rules.
        """
        key = (part.digest, is_manifest)
        if key not in self._found:
            self._found[key] = self._look(part, is_manifest, level)
        return self._found[key]

    def _look(self, part: Descriptor, is_manifest: bool, level: int) -> Found:  # noqa: FBT001 - private
        if is_manifest and level >= MOST_LEVELS:
            raise InvalidManifestError("indexes name indexes without end")
        here = self._is_here(part)
        if not here or not is_manifest:
            usable = here or self._is_stored(part.digest)
            return Found(usable, here, () if usable else (part.digest,))
        _, document = read_document(self._files, part)
        found = [
            self.look(child, is_manifest=inner, level=level + 1)
            for child, inner in children_of(document)
        ]
        enough = any if document.is_index else all
        usable = not found or enough(child.usable for child in found)
        missing = dict.fromkeys(digest for child in found for digest in child.missing)
        return Found(usable, here=True, missing=tuple(missing))

    def _is_here(self, part: Descriptor) -> bool:
        """Return whether the file is there; one that is too short was cut off, so it is not."""
        try:
            with self._files.open(blob_name(part.digest)) as file:
                return file.seek(0, os.SEEK_END) >= part.size
        except FileNotFoundError:
            return False


def children_of(document: Document) -> list[tuple[Descriptor, bool]]:
    """Return a document's parts, each once, and whether it is a document to go into.

    A layer is a blob whatever its media type: artifacts have manifests as their files.
    """
    parts = {part.digest: part for part in document.parts()}
    return [(part, document.is_index and names_document(part)) for part in parts.values()]


def names_document(part: Descriptor) -> bool:
    """Return whether an entry of an index is a document to go into; any other is a blob.

    Raises:
        InvalidManifestError: It is a document of a form that is no longer read. As a blob it would
            lose its parts in silence.
    """
    if part.media_type in LEGACY or part.media_type == _WITHDRAWN:
        reason = f"is {part.media_type}, which is no longer read; make the image anew"
        raise InvalidManifestError(f"{part.digest} {reason} by a current tool")
    return is_document(part.media_type)


def read_document(files: Files, part: Descriptor) -> tuple[bytes, Document]:
    """Read and verify a manifest or index of a layout; return its bytes and what they say.

    Raises:
        InvalidManifestError: It is not what its name says, or breaks the rules.
    """
    data = read_small(files, blob_name(part.digest))
    if len(data) != part.size or Digest.of(data, part.digest.algorithm) != part.digest:
        raise InvalidManifestError(f"{part.digest} in the layout is not what its name says")
    return data, parse_document(data, part.media_type)


def blob_name(digest: Digest) -> str:
    """Return the name of a blob's file in a layout."""
    return f"blobs/{digest.algorithm}/{digest.encoded}"


def read_small(files: Files, name: str) -> bytes:
    """Read a whole file that may have no more bytes than a manifest."""
    with files.open(name) as file:
        data = file.read(MANIFEST_BYTES + 1)
    if len(data) > MANIFEST_BYTES:
        raise InvalidManifestError(f"{shown(name)} has more than {MANIFEST_BYTES} bytes")
    return data
