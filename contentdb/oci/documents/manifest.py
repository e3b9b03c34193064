"""Parses manifests and indexes: the documents that list the blobs of an image.

It parses strictly, since the documents are not trusted: see the rules of
https://github.com/opencontainers/image-spec (manifest.md, image-index.md, descriptor.md) and
the advisory GHSA-77vh-xpmg-72qh about a document that is a manifest and an index at once. A
descriptor's ``urls`` are ignored: content comes only from the registry that the user named.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from contentdb.digest import Digest
from contentdb.errors import InvalidDigestError
from contentdb.oci.documents.media_types import (
    INDEXES,
    LEGACY,
    MANIFESTS,
    OCI_INDEX,
    OCI_MANIFEST,
    bare,
)
from contentdb.oci.documents.strict_json import parse_object
from contentdb.oci.errors import InvalidManifestError, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "MANIFEST_BYTES",
    "MOST_LEVELS",
    "NEUTRAL",
    "OS_FEATURES",
    "Descriptor",
    "Document",
    "entries_of",
    "parse_descriptor",
    "parse_document",
]

MANIFEST_BYTES: Final = 4 * 1024 * 1024
"""Limit for a manifest; registries have the same limit."""

MOST_LEVELS: Final = 4
"""Limit for documents within indexes: one that has as many above it is refused."""

OS_FEATURES: Final = "os.features"
"""What a platform needs of its system, in `Descriptor.platform`: names joined by commas."""

_MOST_ENTRIES: Final = 4096
_LARGEST: Final = 2**63 - 1
_MEDIA_TYPE: Final = re.compile(
    r"([A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126})"
    r" {0,9}(?:;[ -~]{0,255})?"
)
"""A type, and parameters such as a charset, which are passed over."""
NEUTRAL: Final = frozenset({"application/json", "application/octet-stream", "text/plain"})
"""Media types that do not tell the kind of document."""


class Descriptor(NamedTuple):
    """A document's record of another blob. Only its form has been verified."""

    media_type: str
    digest: Digest
    size: int
    """Bytes."""
    platform: Mapping[str, str]
    """``os``, ``architecture``, ``variant`` and `OS_FEATURES`, if given."""
    annotations: Mapping[str, str]
    artifact_type: str | None = None
    """What an artifact is, in an index of artifacts."""


class Document(NamedTuple):
    """A manifest (config and layers) or an index (manifests)."""

    media_type: str
    config: Descriptor | None
    layers: tuple[Descriptor, ...]
    manifests: tuple[Descriptor, ...]
    subject: Descriptor | None
    """The object that an artifact describes: a link, not a part, so it is not fetched."""
    artifact_type: str | None

    @property
    def is_index(self) -> bool:
        """Whether the document lists manifests instead of config and layers."""
        return self.media_type in INDEXES

    def parts(self) -> Iterator[Descriptor]:
        """Yield the parts of the document, the config first."""
        if self.config is not None:
            yield self.config
        yield from self.layers
        yield from self.manifests

    def links(self) -> dict[str, str]:
        """Return the labels by which containerd's collector finds a document's parts and subject.

        Source: ``ChildGCLabels`` in containerd's ``core/images/mediatypes.go``, and the back
        references of its ``docs/garbage-collection.md``: what has one is kept as long as the other.
        """
        prefix = "containerd.io/gc.ref.content"
        links = {f"{prefix}.l.{n}": str(part.digest) for n, part in enumerate(self.layers)}
        links |= {f"{prefix}.m.{n}": str(part.digest) for n, part in enumerate(self.manifests)}
        if self.config is not None:
            links[f"{prefix}.config"] = str(self.config.digest)
        if self.subject is not None:
            links["containerd.io/gc.bref.content.subject"] = str(self.subject.digest)
        return links


def parse_document(data: bytes, content_type: str | None = None) -> Document:
    """Parse the bytes of a manifest or index.

    Args:
        data: The bytes; the caller has to check their digest.
        content_type: The registry's or the descriptor's media type. It must not contradict the
            document's ``mediaType``; if the document has none, ``content_type`` decides.

    Raises:
        InvalidManifestError: It is malformed, ambiguous, over a limit, or of schema 1.
    """
    raw = parse_object(data, most_bytes=MANIFEST_BYTES)
    media_type = _media_type(raw, bare(content_type))
    if raw.get("schemaVersion") != 2 or isinstance(raw["schemaVersion"], bool):  # noqa: PLR2004 - the schema's name
        raise InvalidManifestError("its schemaVersion is not 2")
    _refuse_ambiguity(raw, media_type)
    is_index = media_type in INDEXES
    subject = raw.get("subject")
    document = Document(
        media_type=media_type,
        config=None if is_index else parse_descriptor(raw.get("config"), "config"),
        layers=() if is_index else _entries(raw, "layers"),
        manifests=_entries(raw, "manifests") if is_index else (),
        subject=None if subject is None else parse_descriptor(subject, "subject"),
        artifact_type=_optional_type(raw.get("artifactType"), "artifactType"),
    )
    _refuse_contradictions(document)
    return document


def parse_descriptor(raw: object, where: str) -> Descriptor:
    """Parse one descriptor, ignoring its ``urls`` and ``data`` on purpose.

    Raises:
        InvalidManifestError: A field is missing or of the wrong type; the reason says which.
    """
    if not isinstance(raw, dict):
        raise InvalidManifestError(f"{where} is not a descriptor")
    media_type = _optional_type(raw.get("mediaType"), f"{where}.mediaType")
    if media_type is None:
        raise InvalidManifestError(f"{where}.mediaType is missing")
    size = raw.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= _LARGEST:
        raise InvalidManifestError(f"{where}.size is not a count of bytes")
    digest = raw.get("digest")
    if not isinstance(digest, str):
        raise InvalidManifestError(f"{where}.digest is missing")
    try:
        parsed = Digest(digest)
    except InvalidDigestError as error:
        raise InvalidManifestError(f"{where}.digest: {error}") from None
    return Descriptor(
        media_type,
        parsed,
        size,
        _platform(raw.get("platform"), f"{where}.platform"),
        _texts(raw.get("annotations"), f"{where}.annotations", strict=True),
        _optional_type(raw.get("artifactType"), f"{where}.artifactType"),
    )


def _media_type(raw: dict[str, Any], outside: str | None) -> str:
    inside = _optional_type(raw.get("mediaType"), "mediaType")
    if LEGACY & {inside, outside} or "fsLayers" in raw or raw.get("schemaVersion") == 1:
        raise InvalidManifestError("it is of schema 1, whose digest does not cover its bytes")
    outside = None if outside in NEUTRAL else outside
    if inside is not None and outside is not None and inside != outside:
        raise InvalidManifestError(f"it says {inside}, and is served as {shown(outside)}")
    guess = OCI_INDEX if "manifests" in raw else OCI_MANIFEST
    media_type = inside or outside or guess
    if media_type not in INDEXES and media_type not in MANIFESTS:
        raise InvalidManifestError(f"{shown(media_type)} is neither a manifest nor an index")
    return media_type


def _refuse_ambiguity(raw: dict[str, Any], media_type: str) -> None:
    wrong = ("layers", "config") if media_type in INDEXES else ("manifests",)
    for key in wrong:
        if key in raw:
            raise InvalidManifestError(f"it is {media_type}, and has {key}")


def _refuse_contradictions(document: Document) -> None:
    sizes: dict[Digest, int] = {}
    for part in document.parts():
        if sizes.setdefault(part.digest, part.size) != part.size:
            raise InvalidManifestError(f"{part.digest} is in it with two sizes")


def entries_of(index: Mapping[str, Any]) -> list[Any]:
    """Return the entries of a layout's ``index.json``; null, which tools write, means none.

    Raises:
        InvalidManifestError: The index has no list of manifests.
    """
    entries = index.get("manifests", False)
    if entries is None:
        return []
    if not isinstance(entries, list):
        raise InvalidManifestError("its index.json has no list of manifests")
    return entries


def _entries(raw: dict[str, Any], key: str) -> tuple[Descriptor, ...]:
    entries = raw.get(key)
    if entries is None and key in raw:  # as tools in Go write an empty list
        return ()
    if not isinstance(entries, list):
        raise InvalidManifestError(f"{key} is not a list")
    if len(entries) > _MOST_ENTRIES:
        raise InvalidManifestError(f"{key} has {len(entries)} entries; {_MOST_ENTRIES} is the most")
    return tuple(parse_descriptor(entry, f"{key}[{n}]") for n, entry in enumerate(entries))


def _optional_type(value: object, where: str) -> str | None:
    if value is None or value == "":
        return None
    found = _MEDIA_TYPE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise InvalidManifestError(f"{where} is not a media type")
    return found[1]


def _platform(raw: object, where: str) -> dict[str, str]:
    texts = _texts(raw, where, strict=False)
    features = raw.get(OS_FEATURES) if isinstance(raw, dict) else None
    if isinstance(features, list) and features:
        texts[OS_FEATURES] = ",".join(map(str, features))
    return texts


def _texts(raw: object, where: str, *, strict: bool) -> dict[str, str]:
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise InvalidManifestError(f"{where} is not an object")
    if strict and not all(isinstance(value, str) for value in raw.values()):
        raise InvalidManifestError(f"{where} has a value that is not text")
    return {key: value for key, value in raw.items() if isinstance(value, str)}
