"""Fetches a manifest's blobs, several at once, each as an ingest with its digest as the ref."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from threading import Event as Flag
from typing import TYPE_CHECKING, Final

from contentdb.errors import (
    AlreadyExistsError,
    DigestMismatchError,
    FailedPreconditionError,
    NotFoundError,
    RefLockedError,
)
from contentdb.oci.errors import HostileRegistryError, InvalidManifestError, RegistryError
from contentdb.oci.labels import MEDIA_TYPE, merge, source_key
from contentdb.oci.registry.interrupts import interrupting, results_of
from contentdb.oci.transfer.download import blob_chunks
from contentdb.oci.transfer.progress import Event
from contentdb.streams.pump import Taker

if TYPE_CHECKING:
    from collections.abc import Collection

    from contentdb.content import ContentStore, Writer
    from contentdb.oci.documents.manifest import Descriptor
    from contentdb.oci.reference import Reference
    from contentdb.oci.registry.registry import Registry
    from contentdb.oci.transfer.progress import Kind, Listener

__all__ = ["Arrivals"]

_LOOK_UP_S: Final = 0.5
"""Seconds between two checks for a stop while a thread waits for another pull's ingest."""


class Arrivals:
    """Fetches blobs from one repository.

    Args:
        store: The store to fetch into.
        registry: The client to use.
        place: The repository.
        listen: Called for each step, from several threads.
    """

    def __init__(
        self, store: ContentStore, registry: Registry, place: Reference, listen: Listener
    ) -> None:
        self._store = store
        self._registry = registry
        self._place = place
        self._listen = listen
        self._stopped = Flag()
        self._fetched: list[int] = []

    @property
    def fetched_bytes(self) -> int:
        """Bytes that came over the network."""
        return sum(self._fetched)

    def fetch_all(self, blobs: Collection[Descriptor], jobs: int) -> None:
        """Fetch all blobs durably, ``jobs`` at once; the first error stops the others.

        The ingests of stopped blobs stay, so that a later pull resumes them.
        """
        for blob in blobs:
            self._tell("queued", blob, 0)
        registry = self._registry
        with (
            interrupting(registry),
            ThreadPoolExecutor(jobs, "contentdb-oci") as pool,
            interrupting(registry),
        ):
            try:
                results_of([pool.submit(self._fetch, blob) for blob in blobs])
            except BaseException:
                self._stop(pool)
                raise

    def _stop(self, pool: ThreadPoolExecutor) -> None:
        """Start no more blobs, and stop those under way after their current piece."""
        self._stopped.set()
        pool.shutdown(wait=False, cancel_futures=True)

    def _fetch(self, blob: Descriptor) -> None:
        try:
            with self._writer(blob) as writer:
                self._fill_and_commit(writer, blob)
        except AlreadyExistsError:
            self._check_size(blob)
            merge(self._store, blob.digest, {MEDIA_TYPE: blob.media_type}, self._place)
            self._tell("exists", blob, blob.size)

    def _check_size(self, blob: Descriptor) -> None:
        size = self._store.info(blob.digest).size
        if size != blob.size:
            raise InvalidManifestError(f"{blob.digest} has {size} bytes, not {blob.size}")

    def _writer(self, blob: Descriptor) -> Writer:
        try:
            return self._open_writer(blob)
        except FailedPreconditionError:
            # Another pull began it with another size, from a false manifest perhaps: start over.
            with suppress(NotFoundError):
                self._store.abort(str(blob.digest))
            return self._open_writer(blob)

    def _open_writer(self, blob: Descriptor) -> Writer:
        waits = False
        while not self._stopped.is_set():
            with suppress(RefLockedError):
                return self._store.writer(
                    str(blob.digest),
                    total=blob.size,
                    expected=blob.digest,
                    wait=_LOOK_UP_S if waits else False,
                    resume=True,
                )
            if not waits:
                self._tell("waiting", blob, 0)
                waits = True
        raise self._stopped_error(blob)

    def _fill_and_commit(self, writer: Writer, blob: Descriptor) -> None:
        resumed = writer.offset > 0
        if writer.offset > blob.size:
            writer.truncate()
        self._fill(writer, blob)
        if writer.digest != blob.digest and resumed:
            # The earlier bytes may be wrong: fetch all again before blaming the registry.
            writer.truncate()
            self._fill(writer, blob)
        labels = {
            MEDIA_TYPE: blob.media_type,
            source_key(self._place.registry): self._place.repository,
        }
        try:
            info = writer.commit(
                size=blob.size, expected=blob.digest, labels=labels, keep_labels=True
            )
        except DigestMismatchError as error:
            self._store.abort(writer.ref)
            raise HostileRegistryError(
                self._registry.name,
                f"{self._place.repository}@{blob.digest}",
                f"its bytes have the digest {error.actual}",
                "do not trust this copy",
            ) from error
        if not info.new:  # stored meanwhile: keep the repositories in its labels, add this one
            merge(self._store, blob.digest, {MEDIA_TYPE: blob.media_type}, self._place)
        self._tell("done", blob, blob.size)

    def _fill(self, writer: Writer, blob: Descriptor) -> None:
        """Append the missing bytes, and request only those."""
        at = writer.offset
        self._tell("resumed" if at else "downloading", blob, at)
        if at == blob.size:
            return
        chunks = blob_chunks(
            self._registry,
            self._place.repository,
            blob.digest,
            offset=at,
            size=blob.size,
            on_retry=lambda offset: self._tell("retrying", blob, offset),
        )
        with closing(chunks):
            for chunk in chunks:
                _write(writer, chunk)
                self._fetched.append(len(chunk))
                self._tell("downloading", blob, writer.offset)
                if self._stopped.is_set():
                    raise self._stopped_error(blob)

    def _stopped_error(self, blob: Descriptor) -> RegistryError:
        return RegistryError(
            self._registry.name, blob.digest, "stopped", "pull again to go on from here"
        )

    def _tell(self, kind: Kind, blob: Descriptor, offset: int) -> None:
        self._listen(Event(kind, blob.digest, blob.media_type, offset, blob.size))


def _write(writer: Writer, chunk: bytes) -> None:
    """Append a piece; a `Taker` hashes it while the next one arrives."""
    if isinstance(writer, Taker):
        writer.feed(chunk)
        writer.settle(pending=1)
        return
    view = memoryview(chunk)
    while view:
        view = view[writer.write(view) :]
