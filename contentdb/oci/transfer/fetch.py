"""Fetches a manifest's blobs, several at once, each as an ingest with its digest as the ref."""

from __future__ import annotations

from contextlib import closing, contextmanager, suppress
from threading import Event as Flag
from typing import TYPE_CHECKING, Final, cast

from contentdb.errors import (
    AlreadyExistsError,
    DigestMismatchError,
    FailedPreconditionError,
    NotFoundError,
    RefLockedError,
)
from contentdb.oci.errors import HostileRegistryError, InvalidManifestError, RegistryError
from contentdb.oci.labels import MEDIA_TYPE, merge, source_key
from contentdb.oci.registry.interrupts import pool_of, results_of, stoppable
from contentdb.oci.transfer.progress import Event
from contentdb.oci.transfer.ranges import Lanes
from contentdb.oci.transfer.split import SplitDownload

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from contentdb.content import ContentStore, Writer
    from contentdb.oci.documents.manifest import Descriptor
    from contentdb.oci.reference import Reference
    from contentdb.oci.registry.registry import Registry
    from contentdb.oci.transfer.progress import Kind, Listener
    from contentdb.streams.pump import Taker

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
        self._lanes = Lanes(0, 0)

    @property
    def fetched_bytes(self) -> int:
        """Bytes that came over the network."""
        return sum(self._fetched)

    def fetch_all(self, blobs: Collection[Descriptor], jobs: int) -> None:
        """Fetch all blobs durably over ``jobs`` connections; the first error stops the others.

        Connections that no blob needs any more fetch ranges of large blobs.
        The ingests of stopped blobs stay, so that a later pull resumes them.
        """
        self.expect(blobs, jobs)
        with pool_of(jobs, self.stop, self._registry) as pool:
            results_of([pool.submit(self._fetch_in_turn, blob) for blob in blobs])

    def expect(self, blobs: Collection[Descriptor], jobs: int) -> None:
        """Begin with these blobs; each of them needs one of ``jobs`` connections: see `lane`."""
        self._lanes = Lanes(jobs, len(blobs))
        for blob in blobs:
            self._tell("queued", blob, 0)

    def stop(self) -> None:
        """Stop the blobs under way, whatever they wait for."""
        self._stopped.set()

    @contextmanager
    def lane(self) -> Iterator[None]:
        """Hold the connection of one blob; afterwards other blobs may fetch ranges over it."""
        try:
            yield
        finally:
            self._lanes.give_back()

    def fetch(self, blob: Descriptor) -> None:
        """Fetch a blob durably, unless it is stored."""
        try:
            with stoppable(self._stopped), self._writer(blob) as writer:
                self._fill_and_commit(writer, blob)
        except AlreadyExistsError:
            self._check_size(blob)
            merge(self._store, blob.digest, {MEDIA_TYPE: blob.media_type}, self._place)
            self._tell("exists", blob, blob.size)

    def _fetch_in_turn(self, blob: Descriptor) -> None:
        with self.lane():
            self.fetch(blob)

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
        if writer.offset > blob.size:
            writer.truncate()
        in_parts = writer.offset > 0
        in_parts |= self._fill(writer, blob)
        while writer.digest != blob.digest and (in_parts or self._registry.doubt(blob.digest)):
            # The earlier bytes, the ranges or a mirror's bytes may be wrong: fetch all over one
            # connection before the registry is blamed.
            in_parts = False
            writer.truncate()
            self._fill(writer, blob, lanes=Lanes(0, 0))
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

    def _fill(self, writer: Writer, blob: Descriptor, lanes: Lanes | None = None) -> bool:
        """Append the missing bytes, and request only those; return whether they came in ranges."""
        at = writer.offset
        self._tell("resumed" if at else "downloading", blob, at)
        if at == blob.size:
            return False
        download = SplitDownload(
            self._registry,
            self._place.repository,
            blob.digest,
            size=blob.size,
            lanes=lanes or self._lanes,
            stopped=self._stopped,
            on_retry=lambda offset: self._tell("retrying", blob, offset),
        )
        count = 0
        try:
            with closing(download.chunks(at)) as chunks:
                for chunk in chunks:
                    _write(writer, chunk)
                    count += len(chunk)
                    self._tell("downloading", blob, writer.offset)
                    if self._stopped.is_set():
                        break
        finally:
            self._fetched.append(count)  # once: a registry may send a byte at a time
        if self._stopped.is_set():
            raise self._stopped_error(blob)
        return download.was_split

    def _stopped_error(self, blob: Descriptor) -> RegistryError:
        return RegistryError(
            self._registry.name, blob.digest, "stopped", "pull again to go on from here"
        )

    def _tell(self, kind: Kind, blob: Descriptor, offset: int) -> None:
        self._listen(Event(kind, blob.digest, blob.media_type, offset, blob.size))


def _write(writer: Writer, chunk: bytes) -> None:
    """Append a piece; a `Taker` hashes it while the next one arrives."""
    if hasattr(writer, "settle"):
        taker = cast("Taker", writer)
        taker.feed(chunk)
        taker.settle(pending=1)
        return
    view = memoryview(chunk)
    while view:
        view = view[writer.write(view) :]
