"""Sends blobs and documents of the store to one repository, each blob only if it is not there."""

from __future__ import annotations

from threading import Event as Flag
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from contentdb.errors import NotFoundError
from contentdb.oci.errors import RegistryError
from contentdb.oci.labels import merge, sources
from contentdb.oci.registry.interrupts import stoppable
from contentdb.oci.transfer.progress import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import BinaryIO

    from contentdb.content import ContentStore, Reader
    from contentdb.digest import Digest
    from contentdb.oci.documents.manifest import Descriptor
    from contentdb.oci.reference import Reference
    from contentdb.oci.registry.parts import Opener
    from contentdb.oci.registry.registry import Registry
    from contentdb.oci.transfer.progress import Kind, Listener

__all__ = ["SPARSE_REFUSED", "Departures", "Sorted"]

SPARSE_REFUSED: Final = "it may want all manifests of an index"
"""The beginning of the advice if a registry refuses an index that is not whole."""

_MOST_SOURCES: Final = 3
"""Limit of repositories to ask for a mount of one blob."""
_TELL_BYTES: Final = 1024 * 1024
"""Bytes of an upload between two events."""


class Sorted(NamedTuple):
    """Blobs by what became of them."""

    uploaded: tuple[Digest, ...]
    mounted: tuple[Digest, ...]
    existing: tuple[Digest, ...]


class Departures:
    """Sends to one repository. Threads may share it.

    Args:
        store: The store to send from.
        registry: The client to use.
        place: The repository.
        chunk_bytes: Send larger blobs in chunks of this size first; None sends them whole first.
        listen: Called for each step.
    """

    def __init__(
        self,
        store: ContentStore,
        registry: Registry,
        place: Reference,
        chunk_bytes: int | None,
        listen: Listener,
    ) -> None:
        self._store = store
        self._registry = registry
        self._place = place
        self._chunk_bytes = chunk_bytes
        self._listen = listen
        self._stopped = Flag()
        self._kinds: dict[Digest, Kind] = {}
        self.warnings: list[str] = []
        """What could not be made sure of, a sentence each."""

    def stop(self) -> None:
        """End the uploads under way, whatever they wait for."""
        self._stopped.set()

    def publish(
        self, digest: Digest, data: bytes, media_type: str, *, name: str, advice: str = ""
    ) -> None:
        """Put a document whose parts are there under a tag or its digest, and read it back.

        Args:
            digest: The document.
            data: Its bytes.
            media_type: Its type.
            name: A tag, or the digest.
            advice: What to do if the registry refuses it, in place of the usual.
        """
        try:
            published = self._registry.put_manifest(
                self._place.repository, name, data, media_type, patient=not self.warnings
            )
        except RegistryError as error:
            if not advice or error.status is None:
                raise
            raise RegistryError(error.registry, error.object, error.reason, advice) from error
        self.warnings += published.warnings
        kind: Kind = "exists" if published.existed else "done"
        self._tell(kind, digest, media_type, len(data))

    def send(
        self,
        blob: Descriptor,
        *,
        mounts: Sequence[str] = (),
        bring: Callable[[Descriptor], object] | None = None,
    ) -> None:
        """See to it that the repository has a blob: leave it, mount it, or upload it.

        Args:
            blob: The blob.
            mounts: Other repositories of the registry that have it, besides those in its labels.
            bring: Called once the registry has begun to take it: the store must have it
                afterwards.
        """
        with stoppable(self._stopped):
            kind = self._kinds[blob.digest] = self._send(blob, mounts, bring)
        merge(self._store, blob.digest, {}, self._place)
        self._tell(kind, blob.digest, blob.media_type, blob.size)

    def sort(self, blobs: Iterable[Descriptor]) -> Sorted:
        """Tell what became of blobs that were sent."""
        by_kind: dict[str, list[Digest]] = {}
        for blob in blobs:
            by_kind.setdefault(self._kinds[blob.digest], []).append(blob.digest)
        return Sorted(*(tuple(by_kind.get(kind, ())) for kind in ("done", "mounted", "exists")))

    def _send(
        self, blob: Descriptor, mounts: Sequence[str], bring: Callable[[Descriptor], object] | None
    ) -> Kind:
        repository = self._place.repository
        if self._registry.has_blob(repository, blob.digest, blob.size):
            return "exists"
        upload = self._registry.upload(
            repository, blob.digest, blob.size, chunk_bytes=self._chunk_bytes
        )
        known = dict.fromkeys([*mounts, *self._sources(blob.digest)])
        for source in [name for name in known if name != repository][:_MOST_SOURCES]:
            if not upload.begun and upload.mount(source):
                return "mounted"
        if bring is not None:
            upload.begin()
            bring(blob)
        self._tell("uploading", blob.digest, blob.media_type, 0, blob.size)
        with self._store.open(blob.digest) as reader:
            upload.send(_opener(reader), moved=self._watcher(blob))
        return "done"

    def _sources(self, digest: Digest) -> list[str]:
        """Return the repositories that a stored blob's labels name."""
        try:
            return sources(self._store.info(digest).labels, self._place.registry)
        except NotFoundError:
            return []

    def _watcher(self, blob: Descriptor) -> Callable[[int], None]:
        """Return what an upload calls with its offset: it tells of it now and then, and stops."""
        told = 0

        def moved(offset: int) -> None:
            nonlocal told
            if self._stopped.is_set():
                raise RegistryError(
                    self._registry.name, blob.digest, "stopped", "push again to send the rest"
                )
            if abs(offset - told) >= _TELL_BYTES:
                told = offset
                self._tell("uploading", blob.digest, blob.media_type, offset, blob.size)

        return moved

    def _tell(
        self, kind: Kind, name: str, media_type: str, offset: int, total: int | None = None
    ) -> None:
        self._listen(Event(kind, name, media_type, offset, offset if total is None else total))


def _opener(reader: Reader) -> Opener:
    """Return a function that opens a blob's reader at an offset."""

    def open_at(offset: int) -> BinaryIO:
        reader.seek(offset)
        return cast("BinaryIO", reader)

    return open_at
