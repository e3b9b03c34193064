"""Pushes an image to a registry: only missing objects, and a document after its parts."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from threading import Event as Flag
from typing import TYPE_CHECKING, Final, NamedTuple

from contentdb.digest import Digest
from contentdb.errors import InvalidArgumentError
from contentdb.oci.documents.graph import tree_of
from contentdb.oci.labels import merge, sources
from contentdb.oci.reference import Reference, parse_reference
from contentdb.oci.registry.interrupts import interrupting, results_of
from contentdb.oci.registry.registry import Registry
from contentdb.oci.transfer.progress import Event, Listener, silent

if TYPE_CHECKING:
    from contentdb.content import ContentStore, Reader
    from contentdb.oci.documents.manifest import Descriptor
    from contentdb.oci.transfer.progress import Kind

__all__ = ["Pushed", "push"]

CHUNK_BYTES: Final = 64 * 1024 * 1024
"""A larger blob is uploaded in chunks of this size, a smaller one in one request."""


class Pushed(NamedTuple):
    """The result of a push, with what it did to each blob."""

    digest: Digest
    uploaded: tuple[Digest, ...]
    mounted: tuple[Digest, ...]
    existing: tuple[Digest, ...]


def push(
    store: ContentStore,
    digest: str,
    reference: str | Reference,
    *,
    registry: Registry | None = None,
    chunk_bytes: int = CHUNK_BYTES,
    jobs: int = 4,
    listen: Listener = silent,
) -> Pushed:
    """Push an image or artifact, and read its manifests back.

    The call may be repeated: it sends no blob that the registry has. It verifies bytes as it reads
    them from the store.

    Args:
        store: The store to push from.
        digest: The index or manifest.
        reference: The destination; its digest, if any, must be ``digest``.
        registry: The client to use; by default a new anonymous https client.
        chunk_bytes: Larger blobs are uploaded in chunks of this size.
        jobs: How many blobs to upload at once.
        listen: Called for each step, from several threads.

    Raises:
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
        return _Push(store, client, place, chunk_bytes, listen).run(top, jobs)
    finally:
        if own:
            client.close()


class _Push:
    """One call of `push`."""

    def __init__(
        self,
        store: ContentStore,
        registry: Registry,
        place: Reference,
        chunk_bytes: int,
        listen: Listener,
    ) -> None:
        self._store = store
        self._registry = registry
        self._place = place
        self._chunk_bytes = chunk_bytes
        self._listen = listen
        self._stopped = Flag()

    def run(self, top: Digest, jobs: int) -> Pushed:
        tree = tree_of(self._store, top)
        with (
            interrupting(self._registry),
            ThreadPoolExecutor(jobs, "contentdb-oci") as pool,
            interrupting(self._registry),
        ):
            try:
                kinds = results_of([pool.submit(self._push_blob, blob) for blob in tree.blobs])
            except BaseException:
                self._stopped.set()  # ends the uploads of other threads
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        for node in tree.nodes[:-1]:
            self._registry.put_manifest(
                self._place.repository, node.digest, node.data, node.document.media_type
            )
            self._tell("done", node.digest, node.document.media_type, len(node.data))
        name = self._place.tag or top
        self._registry.put_manifest(
            self._place.repository, name, tree.top.data, tree.top.document.media_type
        )
        self._tell("done", top, tree.top.document.media_type, len(tree.top.data))
        by_kind: dict[str, list[Digest]] = {}
        for kind, blob in zip(kinds, tree.blobs, strict=True):
            by_kind.setdefault(kind, []).append(blob.digest)
        return Pushed(
            top, *(tuple(by_kind.get(kind, ())) for kind in ("done", "mounted", "exists"))
        )

    def _push_blob(self, blob: Descriptor) -> Kind:
        kind = self._bring(blob)
        merge(self._store, blob.digest, {}, self._place)
        self._tell(kind, blob.digest, blob.media_type, blob.size)
        return kind

    def _bring(self, blob: Descriptor) -> Kind:
        repository = self._place.repository
        if self._registry.has_blob(repository, blob.digest):
            return "exists"
        url = None
        for source in sources(self._store.info(blob.digest).labels, self._place.registry):
            if source != repository and url is None:
                url = self._registry.mount(repository, blob.digest, source)
                if url is None:
                    return "mounted"
        self._upload(blob, url or self._registry.begin_upload(repository))
        return "done"

    def _upload(self, blob: Descriptor, url: str) -> None:
        repository, size = self._place.repository, blob.size
        with self._store.open(blob.digest) as reader:
            if size <= self._chunk_bytes:
                self._tell("uploading", blob.digest, blob.media_type, 0, size)
                body = _Part(reader, size, self._stopped) if size else b""
                self._registry.finish_upload(repository, url, blob.digest, body, size)  # type: ignore[arg-type]  # has read()
                return
            for start in range(0, size, self._chunk_bytes):
                self._tell("uploading", blob.digest, blob.media_type, start, size)
                length = min(self._chunk_bytes, size - start)
                part = _Part(reader, length, self._stopped)
                url = self._registry.send_chunk(repository, url, part, start, length)  # type: ignore[arg-type]  # has read()
        self._registry.finish_upload(repository, url, blob.digest)

    def _tell(
        self, kind: Kind, name: str, media_type: str, offset: int, total: int | None = None
    ) -> None:
        self._listen(Event(kind, name, media_type, offset, offset if total is None else total))


class _Part:
    """A file of a reader's next ``left`` bytes."""

    def __init__(self, reader: Reader, left: int, stopped: Flag) -> None:
        self._reader = reader
        self._left = left
        self._stopped = stopped

    def read(self, size: int = -1, /) -> bytes:
        """Read the next bytes; raise `InterruptedError` if the push was stopped."""
        if self._stopped.is_set():
            raise InterruptedError(errno.EINTR, os.strerror(errno.EINTR))
        data = self._reader.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data
