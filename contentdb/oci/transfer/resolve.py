"""Brings the documents of a reference into the store, and learns which blobs they need.

They are the index or manifest that the reference names, what was chosen from an index, and, if
wanted, the artifacts that name one of these as their subject.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from contentdb.errors import NotFoundError
from contentdb.logs import warn
from contentdb.oci.documents.choice import NoneFitsError, choose
from contentdb.oci.documents.manifest import (
    MANIFEST_BYTES,
    MOST_LEVELS,
    Descriptor,
    Document,
    parse_document,
)
from contentdb.oci.documents.media_types import is_document
from contentdb.oci.documents.platforms import Platform
from contentdb.oci.errors import InvalidManifestError, ObjectNotFoundError
from contentdb.oci.labels import MEDIA_TYPE, merge
from contentdb.oci.transfer.progress import Event

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from contentdb.content import ContentStore
    from contentdb.digest import Digest
    from contentdb.oci.reference import Reference
    from contentdb.oci.registry.registry import Registry
    from contentdb.oci.transfer.progress import Kind, Listener

__all__ = ["Chosen", "Documents", "wanted_platforms"]

_MOST_DOCUMENTS: Final = 4096
"""Limit for all documents, and for the artifacts that a registry lists."""
_MOST_LINKS: Final = 8
"""Limit for artifacts of artifacts, as the signature of an SBOM."""


class Chosen(NamedTuple):
    """The manifest that was pulled for a platform."""

    platform: str | None
    """What the index says of it; None for a manifest that the reference names itself."""
    digest: Digest


class Documents:
    """The documents of one reference. Each is stored durably before the documents it lists.

    Args:
        store: The store to bring them into.
        registry: The client to use.
        place: The reference.
        platforms: What to choose from an index; None takes everything.
        listen: Called for each step.
    """

    def __init__(
        self,
        store: ContentStore,
        registry: Registry,
        place: Reference,
        platforms: tuple[Platform, ...] | None,
        listen: Listener,
    ) -> None:
        self._store = store
        self._registry = registry
        self._place = place
        self._platforms = platforms
        self._listen = listen
        self._kept: dict[Digest, dict[Digest, Descriptor]] | None = None
        """The entries of each index that lead to what was chosen; None keeps all entries."""
        self.entered: dict[Digest, None] = {}
        """All documents, that of the reference first."""
        self.media_types: dict[Digest, str] = {}
        """The type of each document, each document after those that it lists."""
        self.blobs: dict[Digest, Descriptor] = {}
        """What the documents need."""
        self.chosen: tuple[Chosen, ...] = ()
        """A manifest for each platform, in that order; none if nothing was to be chosen."""
        self.warnings: list[str] = []
        """What was left out, a sentence each."""
        self.fetched_bytes = 0
        """Bytes of documents that came over the network."""

    def bring(self) -> Digest:
        """Resolve the reference, and bring its documents; return the digest of the first one.

        Raises:
            RegistryError: The registry failed, or has nothing for a platform.
            InvalidManifestError: A document is invalid.
        """
        self._tell("resolving", str(self._place))
        digest, data, media_type = self._resolve()
        document = self._parse(data, media_type, str(self._place))
        self._tell("resolved", str(self._place), document.media_type, len(data), len(data))
        self.chosen = self._choose(digest, document)
        self._enter(digest, data, document, level=0)
        return digest

    # -- artifacts -------------------------------------------------------------------------

    def bring_referrers(self, subjects: Iterable[Digest]) -> tuple[Digest, ...]:
        """Bring the artifacts of these documents, and the artifacts of those; return their digests.

        One that the registry lists but does not have, or that is none of them, is left out with a
        warning.

        Raises:
            RegistryError: The registry failed.
            InvalidManifestError: There are too many, or an artifact contradicts another document.
        """
        found: dict[Digest, None] = {}
        listed = 0
        todo = list(subjects)
        for _ in range(_MOST_LINKS + 1):
            known = set(self.entered)
            for subject in todo:
                for entry in self._registry.referrers(self._place.repository, subject):
                    listed += 1
                    if listed > _MOST_DOCUMENTS:
                        raise InvalidManifestError(f"{self._place} has too many artifacts")
                    if self._bring_artifact(entry, subject):
                        found[entry.digest] = None
            todo = [digest for digest in self.entered if digest not in known]
            if not todo:
                return tuple(found)
        raise InvalidManifestError(f"{self._place} has artifacts of artifacts without end")

    def _bring_artifact(self, entry: Descriptor, subject: Digest) -> bool:
        if entry.digest in self.entered:
            return False
        try:
            data, document = self._load(entry)
        except (InvalidManifestError, ObjectNotFoundError) as error:
            return self._leave_out(entry, subject, error.reason)
        if document.subject is None or document.subject.digest != subject:
            return self._leave_out(entry, subject, "it does not name it as its subject")
        self._enter(entry.digest, data, document, level=0, whole=True)
        return True

    def _leave_out(self, entry: Descriptor, subject: Digest, reason: str) -> bool:
        warn("oci", "artifact left out", artifact=entry.digest, subject=subject, why=reason)
        self.warnings.append(f"artifact {entry.digest} of {subject} is left out: {reason}")
        return False

    # -- documents -------------------------------------------------------------------------

    def _resolve(self) -> tuple[Digest, bytes, str | None]:
        digest = self._place.digest
        stored = None if digest is None else self._stored(digest, MANIFEST_BYTES)
        if digest is not None and stored is not None:
            return digest, stored, self._store.info(digest).labels.get(MEDIA_TYPE)
        served = self._registry.manifest(self._place.repository, self._place.object)
        self.fetched_bytes += len(served.data)
        return served.digest, served.data, served.media_type

    def _enter(
        self, digest: Digest, data: bytes, document: Document, *, level: int, whole: bool = False
    ) -> None:
        """Store a document and then the documents it lists; collect their blobs.

        With ``whole`` nothing that it lists is left out.
        """
        if level >= MOST_LEVELS or len(self.entered) >= _MOST_DOCUMENTS:
            raise InvalidManifestError("indexes name indexes without end")
        if digest in self.entered:
            return
        self.entered[digest] = None
        self._keep_document(digest, data, document)
        for part in document.manifests if whole else self._kept_entries(digest, document):
            if is_document(part.media_type):
                listed, inner = self._load(part)
                self._enter(part.digest, listed, inner, level=level + 1, whole=whole)
            else:
                self._collect(part)
        if not document.is_index:
            for part in document.parts():
                self._collect(part)
        self.media_types[digest] = document.media_type

    def _choose(self, digest: Digest, document: Document) -> tuple[Chosen, ...]:
        """Choose what to pull for each platform, and note the way to it in each index."""
        if not document.is_index:
            return (Chosen(None, digest),)
        if self._platforms is None:
            return ()
        try:
            choices = choose(document, self._platforms, lambda part: self._load(part)[1])
        except NoneFitsError as error:
            raise ObjectNotFoundError(
                self._registry.name, str(self._place), str(error), f"it has {error.there}"
            ) from None
        if choices is None:
            return ()  # an index of artifacts has no platforms to choose from
        self._kept = {}
        for choice in choices:
            index = digest
            for step in choice.steps:
                self._kept.setdefault(index, {})[step.digest] = step
                index = step.digest
        return tuple(Chosen(str(c.platform), c.steps[-1].digest) for c in choices)

    def _kept_entries(self, digest: Digest, document: Document) -> tuple[Descriptor, ...]:
        if self._kept is None:
            return document.manifests
        return tuple(self._kept.get(digest, {}).values())

    def _load(self, part: Descriptor) -> tuple[bytes, Document]:
        data = self._stored(part.digest, part.size)
        if data is None:
            if part.size > MANIFEST_BYTES:
                raise InvalidManifestError(
                    f"{part.digest} has {part.size} bytes, too many for a manifest"
                )
            served = self._registry.manifest(self._place.repository, part.digest, size=part.size)
            if served.media_type is not None and served.media_type != part.media_type:
                self._parse(served.data, served.media_type, part.digest)
            data = served.data
            self.fetched_bytes += len(data)
        if len(data) != part.size:
            raise InvalidManifestError(f"{part.digest} has {len(data)} bytes, not {part.size}")
        return data, self._parse(data, part.media_type, part.digest)

    def _stored(self, digest: Digest, most_bytes: int) -> bytes | None:
        try:
            if self._store.info(digest).size > min(most_bytes, MANIFEST_BYTES):
                raise InvalidManifestError(
                    f"{digest} is longer than its descriptor, or a manifest, may be"
                )
            return self._store.read(digest)
        except NotFoundError:
            return None

    def _parse(self, data: bytes, media_type: str | None, thing: str) -> Document:
        # Other types than vendors' are a web server's guess at what a file is.
        tells = media_type is not None and media_type.startswith("application/vnd.")
        try:
            return parse_document(data, media_type if tells else None)
        except InvalidManifestError as error:
            raise InvalidManifestError(f"{self._registry.name}, {thing}: {error.reason}") from error

    def _keep_document(self, digest: Digest, data: bytes, document: Document) -> None:
        labels = document.links() | {MEDIA_TYPE: document.media_type}
        exists = self._store.exists(digest)
        if not exists:
            self._store.add(data, expected=digest, labels=labels)
        merge(self._store, digest, labels, self._place)
        self._tell(
            "exists" if exists else "done", digest, document.media_type, len(data), len(data)
        )

    def _collect(self, part: Descriptor) -> None:
        known = self.blobs.setdefault(part.digest, part)
        if known.size != part.size:
            raise InvalidManifestError(
                f"{part.digest} is said to have {known.size} and {part.size} bytes"
            )

    def _tell(
        self,
        kind: Kind,
        name: str,
        media_type: str | None = None,
        offset: int = 0,
        total: int | None = None,
    ) -> None:
        self._listen(Event(kind, name, media_type, offset, total))


def wanted_platforms(
    given: str | Platform | Sequence[str | Platform] | None,
) -> tuple[Platform, ...]:
    """Return the platforms that an argument names; this machine's by default."""
    several = (given,) if isinstance(given, (str, Platform)) else given or ()
    parsed = (Platform.parse(one) if isinstance(one, str) else one for one in several)
    return tuple(dict.fromkeys(parsed)) or (Platform.here(),)
