"""Pulls an image into the store; each blob is an ingest with its digest as the ref, in parallel.

So two pulls that need one layer fetch it once (the second waits for the first), and a pull that
was killed is resumed by the next one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from contentdb.errors import NotFoundError
from contentdb.oci.documents.manifest import MANIFEST_BYTES, Descriptor, Document, parse_document
from contentdb.oci.documents.media_types import is_document
from contentdb.oci.documents.platforms import Platform, choose
from contentdb.oci.errors import InvalidManifestError, ObjectNotFoundError
from contentdb.oci.labels import MEDIA_TYPE, merge
from contentdb.oci.reference import Reference, parse_reference
from contentdb.oci.registry.registry import Registry
from contentdb.oci.transfer.fetch import Arrivals
from contentdb.oci.transfer.progress import Event, Listener, silent

if TYPE_CHECKING:
    from contentdb.content import ContentStore
    from contentdb.digest import Digest
    from contentdb.oci.transfer.progress import Kind

__all__ = ["Pulled", "pull"]

_MOST_LEVELS: Final = 4
"""Limit for indexes within indexes."""
_MOST_DOCUMENTS: Final = 4096


class Pulled(NamedTuple):
    """The result of a pull; all of it is stored and verified."""

    digest: Digest
    """Digest of the index or manifest that the reference names."""
    media_type: str
    documents: tuple[Digest, ...]
    """Index and manifests, the one of the reference first."""
    blobs: tuple[Digest, ...]
    """Configs and layers."""
    fetched_bytes: int
    """Bytes of content that came over the network; the rest was stored already."""


def pull(
    store: ContentStore,
    reference: str | Reference,
    *,
    registry: Registry | None = None,
    platform: str | Platform | None = None,
    all_platforms: bool = False,
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
        platform: Which manifest of an index, e.g. ``linux/arm64``; this machine's by default.
        all_platforms: Pull every manifest of an index.
        jobs: How many blobs to fetch at once.
        listen: Called for each step, from several threads.

    Raises:
        RegistryError: The registry failed; the next pull resumes what has come so far.
        InvalidManifestError: A document is invalid.
        ContentDBError: The store failed.
    """
    place = parse_reference(reference) if isinstance(reference, str) else reference
    if isinstance(platform, str):
        platform = Platform.parse(platform)
    own = registry is None
    client = Registry(place.registry) if registry is None else registry
    client.resume()
    try:
        wanted = None if all_platforms else platform or Platform.here()
        return _Pull(store, client, place, wanted, listen).run(jobs)
    finally:
        if own:
            client.close()


class _Pull:
    """One call of `pull`."""

    def __init__(
        self,
        store: ContentStore,
        registry: Registry,
        place: Reference,
        platform: Platform | None,
        listen: Listener,
    ) -> None:
        self._store = store
        self._registry = registry
        self._place = place
        self._platform = platform
        self._listen = listen
        self._documents: dict[Digest, None] = {}
        self._fetched_bytes = 0

    def run(self, jobs: int) -> Pulled:
        self._tell("resolving", str(self._place))
        digest, data, media_type = self._resolve()
        document = self._parse(data, media_type, str(self._place))
        self._tell("resolved", str(self._place), document.media_type, len(data), len(data))
        blobs: dict[Digest, Descriptor] = {}
        self._enter(digest, data, document, blobs, level=0)
        arrivals = Arrivals(self._store, self._registry, self._place, self._listen)
        arrivals.fetch_all(blobs.values(), jobs)
        return Pulled(
            digest,
            document.media_type,
            tuple(self._documents),
            tuple(blobs),
            self._fetched_bytes + arrivals.fetched_bytes,
        )

    # -- documents -------------------------------------------------------------------------

    def _resolve(self) -> tuple[Digest, bytes, str | None]:
        digest = self._place.digest
        stored = None if digest is None else self._stored(digest, MANIFEST_BYTES)
        if digest is not None and stored is not None:
            return digest, stored, self._store.info(digest).labels.get(MEDIA_TYPE)
        served = self._registry.manifest(self._place.repository, self._place.object)
        self._fetched_bytes += len(served.data)
        return served.digest, served.data, served.media_type

    def _enter(
        self,
        digest: Digest,
        data: bytes,
        document: Document,
        blobs: dict[Digest, Descriptor],
        *,
        level: int,
    ) -> None:
        """Store a document and then the documents it lists; collect their blobs."""
        if level >= _MOST_LEVELS or len(self._documents) >= _MOST_DOCUMENTS:
            raise InvalidManifestError("indexes name indexes without end")
        if digest in self._documents:
            return
        self._documents[digest] = None
        kept = self._choose_manifests(document)
        self._keep_document(digest, data, document._replace(manifests=kept))
        for part in kept:
            if is_document(part.media_type):
                self._enter_part(part, blobs, level=level + 1)
            else:
                _collect(blobs, part)
        if not document.is_index:
            for part in document.parts():
                _collect(blobs, part)

    def _choose_manifests(self, document: Document) -> tuple[Descriptor, ...]:
        if self._platform is None or not document.is_index:
            return document.manifests
        if not any(entry.platform for entry in document.manifests):
            return document.manifests  # an index of artifacts has no platforms to choose from
        chosen = choose(document.manifests, self._platform)
        if chosen is None:
            there = ", ".join(sorted({"/".join(_platform(entry)) for entry in document.manifests}))
            raise ObjectNotFoundError(
                self._registry.name,
                str(self._place),
                f"nothing for {self._platform}",
                f"it has {there}",
            )
        return (chosen,)

    def _enter_part(self, part: Descriptor, blobs: dict[Digest, Descriptor], *, level: int) -> None:
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
            self._fetched_bytes += len(data)
        if len(data) != part.size:
            raise InvalidManifestError(f"{part.digest} has {len(data)} bytes, not {part.size}")
        self._enter(
            part.digest, data, self._parse(data, part.media_type, part.digest), blobs, level=level
        )

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
        try:
            return parse_document(data, media_type)
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

    def _tell(
        self,
        kind: Kind,
        name: str,
        media_type: str | None = None,
        offset: int = 0,
        total: int | None = None,
    ) -> None:
        self._listen(Event(kind, name, media_type, offset, total))


def _collect(blobs: dict[Digest, Descriptor], part: Descriptor) -> None:
    known = blobs.setdefault(part.digest, part)
    if known.size != part.size:
        raise InvalidManifestError(
            f"{part.digest} is said to have {known.size} and {part.size} bytes"
        )


def _platform(entry: Descriptor) -> list[str]:
    found = entry.platform
    names = [found.get("os", "?"), found.get("architecture", "?"), found.get("variant", "")]
    return [name[:40] for name in names if name]
