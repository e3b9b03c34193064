"""One ingest whose ref this process holds: its commit, and its end without one."""

from __future__ import annotations

import os
import threading

from contentdb.errors import (
    AlreadyExistsError,
    CommitUnknownError,
    ContentDBError,
    DigestMismatchError,
    DurabilityError,
    WriterClosedError,
)
from contentdb.light_typing import TYPE_CHECKING, Protocol
from contentdb.local.commit.candidate import candidate_of
from contentdb.local.commit.publish import conclude, publish
from contentdb.local.index import Outcome
from contentdb.local.ingest.begin import ref_locked_error
from contentdb.local.ingest.intake import Intake
from contentdb.logs import swallow

if TYPE_CHECKING:
    from typing import Final

    from contentdb.call_guard import Gate
    from contentdb.content import Info
    from contentdb.digest import Digest
    from contentdb.labels import Labelling
    from contentdb.local.commit.batch import Batch
    from contentdb.local.commit.candidate import Candidate
    from contentdb.local.index import IngestRow
    from contentdb.local.reservation import Reservation
    from contentdb.local.resources import Parts

__all__ = ["LocalIngest"]

_UNSETTLED: Final = (
    "what a commit of a batch left of its ingest could not be removed; abort the ref"
)


class _Current(Protocol):
    batch: Batch | None
    """The batch that this thread is in."""


class _Engine(Protocol):
    @property
    def current(self) -> _Current: ...


class LocalIngest(Intake):
    """A `contentdb.engine.HeldIngest` on files; for one thread at a time."""

    def __init__(
        self,
        parts: Parts,
        gate: Gate,
        row: IngestRow,
        fd: int,
        offset: int,
        room: Reservation,
        engine: _Engine,
    ) -> None:
        super().__init__(parts, gate, row, fd, offset, room)
        self._engine = engine  # which stays open as long as the caller has its writer
        self._joined = False
        self._pid = os.getpid()
        self._closed = False
        self._ending = threading.RLock()

    @property
    def closed(self) -> bool:
        """Whether it was closed or committed, or was opened by the parent of a fork."""
        return self._closed or self._pid != os.getpid()

    def check_open(self) -> None:
        """Raise `WriterClosedError` if it is closed, `StoreClosedError` if its store is."""
        with self._gate:
            self._require_open()

    def _require_open(self) -> None:
        if self._closed or self._pid != os.getpid():
            raise WriterClosedError(self.row.ref)

    # -- the commit --------------------------------------------------------------------------

    def commit(self, wanted: Digest | None, labels: Labelling, *, exist_ok: bool) -> Info:
        """Publish the bytes if they have the digest, and free the ref. Durable when it returns.

        In a batch it is durable when the batch ends, and the ref is free then.

        Raises:
            DigestMismatchError: The bytes have another digest; the ingest stays.
            AlreadyExistsError: Not with ``exist_ok``; the ingest is removed, the blob unchanged.
            RefLockedError: Another writer has taken over the ingest.
            DurabilityError: A sync failed; nothing is published, the bytes are dropped.
        """
        with self._gate:
            self._require_open()
            try:
                self.take_note()
                self.room.confirm(self.received)  # a bound may have been set meanwhile
                candidate = self._make_candidate(wanted, labels)
                batch = self._engine.current.batch
                if batch is not None and batch.is_ours:
                    return self._join(batch, candidate, exist_ok=exist_ok)
                outcome = publish(self._parts, candidate, self.file)
                return self._answer(candidate, outcome, exist_ok=exist_ok)
            except CommitUnknownError:  # a power cut may bring the ingest back: keep its file
                with swallow("local.ingest", _UNSETTLED, ContentDBError, ref=self.row.ref):
                    self._end()
                raise
            finally:
                if not self._joined:
                    try:
                        self._settle()
                    except BaseException:  # from a signal handler; the ref must be freed
                        self._end()
                        raise

    def _make_candidate(self, wanted: Digest | None, labels: Labelling) -> Candidate:
        """Return the facts of the bytes; raise if they do not have the digest."""
        sink = self.running(None if wanted is None else wanted.algorithm)
        digest = sink.digest
        if wanted is not None and digest != wanted:
            raise DigestMismatchError(expected=wanted, actual=digest, ref=self.row.ref)
        return self._candidate_of(digest, sink.size, sink.checksum, labels)

    def _candidate_of(
        self, digest: Digest, size: int, checksum: int, labels: Labelling
    ) -> Candidate:
        row = self.row
        return candidate_of(self._parts, digest, size, checksum, labels, row.ref, row.token)

    def _answer(self, candidate: Candidate, outcome: Outcome, *, exist_ok: bool) -> Info:
        """Return the Info of what was recorded, or raise."""
        if outcome is Outcome.FENCED:
            raise ref_locked_error(self._parts, self.row.ref)
        self.room.settle()
        if outcome is Outcome.EXISTS and not exist_ok:
            raise AlreadyExistsError(candidate.digest)
        return conclude(self._parts, candidate, outcome)

    def _settle(self) -> None:
        """Keep the ingest if the commit did not make it a blob, and end it."""
        if self._closed:
            return
        try:
            self.file.unseal()
            self.file.sync_changes()
        finally:
            self._end()

    # -- a commit in a batch -----------------------------------------------------------------

    def _join(self, batch: Batch, candidate: Candidate, *, exist_ok: bool) -> Info:
        self.file.seal(candidate.now_ns)
        known = batch.find_stored(candidate)
        if known is None:
            try:
                info = batch.join(self, candidate)
                self._closed = self._joined = True
            except BaseException:  # the group must not use a file that is closed
                batch.withdraw(self)
                raise
            return info
        self.file.drop()
        if not exist_ok:
            raise AlreadyExistsError(candidate.digest)
        return known

    def confirm_room(self) -> None:
        """Make sure of the room for a commit that was joined, before it is published."""
        self.room.confirm(self.received)

    def publish_joined(self, candidate: Candidate) -> Info:
        """Publish alone what could not be published with its group."""
        outcome = publish(self._parts, candidate, self.file)
        return self._answer(candidate, outcome, exist_ok=True)

    def settle_joined(self, result: Info | ContentDBError | None) -> None:
        """End a commit that was part of a group; errors here do not change its result."""
        with swallow("local.ingest", _UNSETTLED, ContentDBError, ref=self.row.ref):
            if result is not None and not isinstance(result, Exception):
                self.room.settle()
            try:
                self._settle_file(result)
            except ContentDBError:
                raise
            except BaseException:  # from a signal handler; a closed file cannot be conclude
                self._settle_file(result)
                raise
            finally:
                self._let_go()

    def _settle_file(self, result: Info | ContentDBError | None) -> None:
        if isinstance(result, DurabilityError):  # as if its own sync had failed
            self.file.drop()
        elif isinstance(result, CommitUnknownError):  # a power cut may bring the ingest back
            return
        elif isinstance(result, Exception) or result is None:
            self.file.unseal()
            self.file.sync_changes()
        else:
            self.file.take_away()

    # -- the end -----------------------------------------------------------------------------

    def close(self) -> None:
        """Keep the bytes for a later resume, and free the ref; may be repeated."""
        with self._ending:
            if self.closed:
                self._closed = True
                return
            try:
                self.file.sync_changes()
                self._end()
            except BaseException:
                self._end()
                raise

    def _end(self) -> None:
        """Free the ref; may be repeated where an exception interrupted it."""
        with self._ending:
            if self._closed and self.file.is_released:
                return
            self._closed = True
            try:
                self._let_go()
            except BaseException:
                self.file.release()
                self.forget_hashes()
                raise

    def _let_go(self) -> None:
        try:
            self.end_hashing()
            if self.file.changed:
                row = self.row
                self._parts.index.pause(row.ref, row.token, self.received, self.updated_ns)
            self.room.keep(self.received)
        finally:
            self.file.release()

    def __del__(self) -> None:
        """Free the ref of an ingest that was never closed; its bytes are in the file."""
        if not getattr(self, "_closed", True) and self._pid == os.getpid():
            self._closed = True
            self.file.release()
            self.forget_hashes()
