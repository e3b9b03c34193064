"""One ingest whose ref this process holds: its commit, and its end without one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Protocol

from contentdb.cluster.catalog import ingests
from contentdb.cluster.catalog.record import Candidate, FencedError
from contentdb.cluster.extents import uncovered
from contentdb.cluster.intake import Intake
from contentdb.cluster.publish import (
    conclude,
    find_whole,
    label_stored,
    place_bytes,
    place_runs,
    publish,
)
from contentdb.errors import (
    AlreadyExistsError,
    ContentDBError,
    DigestMismatchError,
    WriterClosedError,
)
from contentdb.labels import NO_LABELS
from contentdb.logs import swallow

if TYPE_CHECKING:
    from contentdb.call_guard import Gate
    from contentdb.cluster.resources import Resources
    from contentdb.cluster.segments import Segments
    from contentdb.content import Info
    from contentdb.digest import Digest
    from contentdb.labels import Labelling

__all__ = ["ClusterIngest"]

_UNFREED: Final = "a ref could not be freed; it is free once this process ends"


class _Engine(Protocol):
    def flush_batch(self) -> None: ...


class ClusterIngest(Intake):
    """A `contentdb.engine.HeldIngest`; for one thread at a time."""

    def __init__(
        self,
        resources: Resources,
        gate: Gate,
        namespace: str,
        row: ingests.IngestRow,
        engine: _Engine,
    ) -> None:
        super().__init__(resources, gate, namespace, row)
        self._engine = engine  # which stays open as long as the caller has its writer
        self._pid = os.getpid()
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether it was closed or committed, or was opened by the parent of a fork."""
        return self._closed or self._pid != os.getpid()

    def check_open(self) -> None:
        """Raise `WriterClosedError` if it is closed, `StoreClosedError` if its store is."""
        with self._gate:
            self.require_open()

    def require_open(self) -> None:
        """Raise `WriterClosedError` if it is closed."""
        if self.closed:
            raise WriterClosedError(self.ref)

    # -- the commit --------------------------------------------------------------------------

    def commit(self, wanted: Digest | None, labels: Labelling, *, exist_ok: bool) -> Info:
        """Publish the bytes if they have the digest, and free the ref. Durable when it returns.

        Raises:
            DigestMismatchError: The bytes have another digest; the ingest stays.
            AlreadyExistsError: Not with ``exist_ok``; the ingest is removed, the blob unchanged.
            RefLockedError: Another writer has taken over the ingest.
            StorageError: A prune took this process for dead; the ingest can be begun again.
        """
        with self._gate:
            self.require_open()
            self._engine.flush_batch()  # which may have the same content
            hasher = self.hashed(None if wanted is None else wanted.algorithm)
            digest = hasher.digest
            if wanted is not None and digest != wanted:
                raise DigestMismatchError(expected=wanted, actual=digest, ref=self.ref)
            known = find_whole(self._resources, self.key.namespace, digest)
            if known is not None:
                return self._end_stored(digest, labels, exist_ok=exist_ok)
            return self._publish(digest, hasher.checksum, labels, exist_ok=exist_ok)

    def _end_stored(self, digest: Digest, labels: Labelling, *, exist_ok: bool) -> Info:
        """Drop the ingest: its content is stored already."""
        resources = self._resources
        given = labels if exist_ok else NO_LABELS
        info = label_stored(resources, self.key.namespace, digest, given, whole=False)
        if info is None:  # it was deleted meanwhile
            return self._publish(digest, self.hashed().checksum, labels, exist_ok=exist_ok)
        with swallow("cluster.ingest", _UNFREED, ContentDBError, ref=self.ref):
            segments = self.segments()
            segments.finish_way()
            if segments.runs != self._noted:
                self.note(segments.stored, segments.runs)
        self._forget()
        with swallow("cluster.ingest", _UNFREED, ContentDBError, ref=self.ref):
            ingests.drop(resources.database, resources.session, self.key.namespace, self.ref)
        if not exist_ok:
            raise AlreadyExistsError(digest)
        return info

    def _publish(self, digest: Digest, checksum: int, labels: Labelling, *, exist_ok: bool) -> Info:
        resources = self._resources
        segments = self.segments()
        try:
            if segments.is_small:
                place = place_bytes(resources, digest, bytes(segments.buffer))
            else:
                segments.finish()
                place = place_runs(resources, digest, segments)
            spare = uncovered(self._noted, place.runs)
            candidate = Candidate(digest, segments.size, checksum, place, labels)
            done = publish(resources, self.key.namespace, candidate, ingest=self.key, spare=spare)
        except FencedError as error:
            self.lose()
            raise self.lost_error(error.args[0]) from None
        self._forget()
        if done.created_ns is None and not exist_ok:
            raise AlreadyExistsError(digest)
        return conclude(resources, self.key.namespace, done)

    # -- the end -----------------------------------------------------------------------------

    def close(self) -> None:
        """Keep the bytes for a later resume, and free the ref; may be repeated."""
        with self.ending:
            if self.closed:
                self._closed = True
                return
            try:
                segments = self._segments
                if segments is not None and segments.size != self.row.offset:
                    self._store_rest(segments)
            finally:
                if not self._closed:
                    self._let_go()

    def _store_rest(self, segments: Segments) -> None:
        """Write what is in memory, and note it; after an error note what was written before."""
        try:
            segments.finish()
        finally:
            if segments.runs != self._noted:
                self.note(segments.stored, segments.runs)

    def _let_go(self) -> None:
        self._closed = True
        self._resources.session.tokens.discard(self.key.token)
        channel = self._resources.session.channel
        with swallow("cluster.ingest", _UNFREED, ContentDBError, ref=self.ref):
            ingests.let_go(self._resources.database, self.key, channel)

    def _forget(self) -> None:
        """End without a change of the row, which is gone or another writer's."""
        self._closed = True
        self._resources.session.tokens.discard(self.key.token)

    lose = _forget

    def __del__(self) -> None:
        """Free the ref of an ingest that was never closed: other threads see its token no more."""
        if not getattr(self, "_closed", True) and self._pid == os.getpid():
            self._closed = True
            self._resources.session.tokens.discard(self.key.token)
