"""Copies an image between registries through the store, and downloads only what has to be sent.

Each blob is an ingest on its way in, as in a pull, so a copy that was killed is resumed by the next
one; and each document follows its parts, as in a push.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from contentdb.errors import InvalidArgumentError
from contentdb.oci.documents.media_types import INDEXES
from contentdb.oci.errors import InvalidManifestError
from contentdb.oci.reference import Reference, parse_reference
from contentdb.oci.registry.interrupts import pool_of, results_of
from contentdb.oci.registry.registry import Registry
from contentdb.oci.transfer.fetch import Arrivals
from contentdb.oci.transfer.progress import Listener, silent
from contentdb.oci.transfer.resolve import Chosen, Documents, wanted_platforms
from contentdb.oci.transfer.send import SPARSE_REFUSED, Departures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contentdb.content import ContentStore
    from contentdb.digest import Digest
    from contentdb.oci.documents.manifest import Descriptor
    from contentdb.oci.documents.platforms import Platform
    from contentdb.oci.transfer.progress import Event

__all__ = ["Copied", "copy"]

_ARRIVED: Final = frozenset({"done", "exists"})


class Copied(NamedTuple):
    """The result of a copy: the target has all of it, with the digests of the source."""

    digest: Digest
    """The index or manifest that the target's tag names now."""
    documents: tuple[Digest, ...]
    """What was published, each after its parts; that of the tag is the last."""
    uploaded: tuple[Digest, ...]
    mounted: tuple[Digest, ...]
    existing: tuple[Digest, ...]
    fetched_bytes: int
    """Bytes of content that came from the source over the network."""
    chosen: tuple[Chosen, ...] = ()
    """A manifest for each platform asked for, in that order; none if nothing was to be chosen."""
    referrers: tuple[Digest, ...] = ()
    """Those of the documents that are artifacts of the others."""
    warnings: tuple[str, ...] = ()
    """What was left out, or could not be made sure of, a sentence each."""


def copy(  # noqa: PLR0913 - each is an independent choice of the caller
    store: ContentStore,
    source: str | Reference,
    target: str | Reference,
    *,
    source_registry: Registry | None = None,
    target_registry: Registry | None = None,
    platform: str | Platform | Sequence[str | Platform] | None = None,
    all_platforms: bool = False,
    with_referrers: bool = False,
    chunk_bytes: int | None = None,
    jobs: int = 4,
    listen: Listener = silent,
) -> Copied:
    """Copy an image or artifact from a repository to another, of the same registry or not.

    A blob that the target has, or can mount from the source's repository, is not downloaded. Any
    other is fetched into the store, verified, and uploaded from there while others are fetched. The
    tag is set when everything else is there. The documents and what was fetched stay in the store.
    The call may be repeated, killed and run concurrently; it brings only what is missing.

    Args:
        store: The store to copy through.
        source: The image.
        target: Where to; its digest, if any, must be that of what is copied.
        source_registry: The client to read with; by default a new anonymous https client.
        target_registry: The client to write with; by default another one.
        platform: Which manifest of an index; the best that runs on this machine by default. One
            is copied alone, and the target's tag names it. Of several the whole index is copied,
            without its other manifests, which not every registry takes.
        all_platforms: Copy the index and every manifest of it.
        with_referrers: Copy the artifacts too that name one of the copied documents as their
            subject, and the artifacts of those, at most 4096 in 8 levels.
        chunk_bytes: As in `push`.
        jobs: How many blobs at once.
        listen: Called for each step, from several threads. ``done`` means that the target has it.

    Raises:
        RegistryError: One of the registries failed. The target has no new tag.
        InvalidManifestError: A document is invalid.
        ContentDBError: The store failed.
    """
    origin = parse_reference(source) if isinstance(source, str) else source
    place = parse_reference(target) if isinstance(target, str) else target
    wanted = None if all_platforms else wanted_platforms(platform)
    reads = Registry(origin.registry) if source_registry is None else source_registry
    writes = Registry(place.registry) if target_registry is None else target_registry
    reads.resume()
    writes.resume()
    try:
        relay = _Relay(store, (reads, origin), (writes, place), chunk_bytes, listen)
        documents = Documents(store, reads, origin, wanted, relay.pass_on)
        return relay.run(documents, jobs, with_referrers=with_referrers)
    finally:
        if source_registry is None:
            reads.close()
        if target_registry is None:
            writes.close()


class _Relay:
    """One call of `copy`."""

    def __init__(
        self,
        store: ContentStore,
        source: tuple[Registry, Reference],
        target: tuple[Registry, Reference],
        chunk_bytes: int | None,
        listen: Listener,
    ) -> None:
        self._store = store
        self._registries = source[0], target[0]
        self._place = target[1]
        self._listen = listen
        self._arrivals = Arrivals(store, *source, self.pass_on)
        self._departures = Departures(store, *target, chunk_bytes, listen)
        near = source[1].registry == target[1].registry
        self._mounts = (source[1].repository,) if near else ()

    def pass_on(self, event: Event) -> None:
        """Tell of a step at the source; that something is stored is not the end of it."""
        if event.kind not in _ARRIVED:
            self._listen(event)

    def run(self, documents: Documents, jobs: int, *, with_referrers: bool) -> Copied:
        top, referrers, names = self._bring_documents(documents, with_referrers=with_referrers)
        blobs = documents.blobs.values()
        self._arrivals.expect(blobs, jobs)
        with pool_of(jobs, self._stop, *self._registries) as pool:
            results_of([pool.submit(self._copy, blob) for blob in blobs])
        advice = f"{SPARSE_REFUSED}: copy one platform alone, or all"
        for name in names:
            media_type = documents.media_types[name]
            is_sparse = media_type in INDEXES and len(documents.chosen) > 1
            self._departures.publish(
                name,
                self._store.read(name),
                media_type,
                name=(self._place.tag or top) if name == top else name,
                advice=advice if is_sparse else "",
            )
        return Copied(
            top,
            names,
            *self._departures.sort(blobs),
            documents.fetched_bytes + self._arrivals.fetched_bytes,
            documents.chosen,
            referrers,
            (*documents.warnings, *self._departures.warnings),
        )

    def _bring_documents(
        self, documents: Documents, *, with_referrers: bool
    ) -> tuple[Digest, tuple[Digest, ...], tuple[Digest, ...]]:
        """Return what the tag will name, the artifacts, and all that is to be published."""
        top = documents.bring()
        left_out: set[Digest] = set()
        if len(documents.chosen) == 1 and documents.chosen[0].digest != top:
            top = documents.chosen[0].digest
            left_out = set(documents.entered) - {top}
        if top not in documents.media_types:
            raise InvalidManifestError(f"{top} is not said to be a manifest")
        if self._place.digest not in {None, top}:
            raise InvalidArgumentError(f"{self._place} names another digest than {top}")
        referrers: tuple[Digest, ...] = ()
        if with_referrers:
            referrers = documents.bring_referrers(
                [digest for digest in documents.entered if digest not in left_out]
            )
        others = [name for name in documents.media_types if name not in {top, *left_out}]
        return top, referrers, (*others, top)

    def _copy(self, blob: Descriptor) -> None:
        with self._arrivals.lane():
            self._departures.send(blob, mounts=self._mounts, bring=self._arrivals.fetch)

    def _stop(self) -> None:
        self._arrivals.stop()
        self._departures.stop()
