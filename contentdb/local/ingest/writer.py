"""The writer of one ingest: it appends bytes and commits, in the order of the protocol."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Final, NoReturn

from contentdb.content import Status
from contentdb.declared import Declared, Takeover, check_commit, check_total
from contentdb.errors import (
    AlreadyExistsError,
    ContentDBError,
    DigestMismatchError,
    DurabilityError,
    WriterClosedError,
)
from contentdb.labels import check_labels
from contentdb.local.commit.publish import Candidate, publish, settled
from contentdb.local.index import Outcome
from contentdb.local.ingest.begin import ref_locked
from contentdb.local.ingest.intake import Comparison, Intake
from contentdb.logs import swallow
from contentdb.metadata import unpack_metadata
from contentdb.streams.append_only import AppendOnly

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from typing_extensions import Buffer

    from contentdb.content import Info
    from contentdb.digest import Digest
    from contentdb.files import Directory
    from contentdb.local.call_guard import Gate
    from contentdb.local.commit.batch import Batch
    from contentdb.local.index import IngestRow
    from contentdb.local.resources import Parts
    from contentdb.local.sink import Sink

__all__ = ["LocalWriter"]

_UNSETTLED: Final = (
    "what a commit of a batch left of its ingest could not be removed; abort the ref"
)


class LocalWriter(AppendOnly):
    """A `contentdb.content.Writer` on files; for one thread at a time.

    It is a binary file too, for objects that only append to one: a `zipfile.ZipFile`, an
    `io.TextIOWrapper`. If they close it, the ingest stays; to commit, flush and detach them first.
    """

    def __init__(
        self,
        parts: Parts,
        gate: Gate,
        row: IngestRow,
        fd: int,
        offset: int,
        batch: Callable[[], Batch | None],
    ) -> None:
        self._parts = parts
        self._batch = batch
        self._joined = False
        self._gate = gate
        self._intake = Intake(parts, row, fd, offset)
        self._file = self._intake.file
        self._pid = os.getpid()
        self._closed = False
        self._ending = threading.RLock()

    # -- what it is --------------------------------------------------------------------------

    @property
    def ref(self) -> str:
        """The caller's name for the ingest."""
        return self._intake.row.ref

    @property
    def offset(self) -> int:
        """Bytes that have reached the file."""
        return self._intake.offset

    @property
    def digest(self) -> Digest:
        """Digest of all bytes so far, by the algorithm of the expected digest, else SHA-256."""
        with self._gate:
            self._require_open()
            return self._intake.running().digest

    @property
    def closed(self) -> bool:
        """Whether it was closed or committed, or was opened by the parent of a fork."""
        return self._closed or self._pid != os.getpid()

    @property
    def is_unsent(self) -> bool:
        """Whether another namespace holds the content, so that only the commit is left to do."""
        return False

    def status(self) -> Status:
        """Describe the ingest as it is now."""
        intake = self._intake
        row = intake.row
        return Status(
            row.ref,
            self.offset,
            row.total,
            intake.expected,
            row.started_ns,
            intake.updated_ns,
            held=not self.closed,
            metadata=unpack_metadata(row.metadata),
        )

    def _require_open(self) -> None:
        if self.closed:
            raise WriterClosedError(self.ref)

    # -- bytes in ----------------------------------------------------------------------------

    def write(self, data: Buffer, /) -> int:
        """Append; the returned count has reached the file. Not durable before `commit`.

        Raises:
            StorageError: The system refused; `offset` says how many bytes reached the file.
        """
        with self._gate:
            self._require_open()
            return self._intake.write(data)

    def feed(self, data: Buffer) -> None:
        """Append like `write`, but the buffer must not change until `settle`."""
        with self._gate:
            self._require_open()
            self._intake.feed(data)

    def settle(self, *, pending: int = 0) -> None:
        """Wait until at most ``pending`` buffers of `feed` are in use."""
        self._intake.settle(pending=pending)

    def truncate(self, size: int | None = 0, /) -> int:
        """Go back to offset 0, under the same lock; no other offset is possible.

        None means the present offset, as for any file: nothing is removed.
        """
        with self._gate:
            return super().truncate(size)

    def _restart(self) -> None:
        self._intake.truncate()

    def redeclare(
        self, *, total: int | None, expected: Digest | None, metadata: str | None = None
    ) -> None:
        """Replace the declared size and digest, under the same lock.

        Not durable, like the beginning of an ingest; may be repeated.

        Args:
            total: The size; None if it is unknown.
            expected: The digest; None if it is unknown.
            metadata: The metadata of the ingest, packed; None leaves it as it is.

        Raises:
            RefLockedError: Another writer has taken over the ingest.
        """
        with self._gate:
            self._require_open()
            row = self._intake.row
            found = self._parts.index.ingest(row.ref)
            if found is None or found.token != row.token:
                raise ref_locked(self._parts, row.ref)
            row = row._replace(total=check_total(total), expected=expected, metadata=metadata)
            self._intake.take_row(self._parts.index.begin(row, Takeover.REPLACE))

    def comparison(self) -> Comparison:
        """Return a comparison of a source with the bytes received, to use before appending."""
        return Comparison(self._gate, self._intake)

    # -- the end -----------------------------------------------------------------------------

    def commit(
        self,
        *,
        size: int | None = None,
        expected: str | None = None,
        labels: Mapping[str, str] | None = None,
        exist_ok: bool = True,
        keep_labels: bool = False,
    ) -> Info:
        """Verify and publish the bytes, and end the writer in any case. Durable when it returns.

        If the content is stored already, the ingest is removed and the blob's Info is returned.

        Args:
            size: Size in bytes that it must have.
            expected: Digest that it must have.
            labels: Labels of the blob; if it is stored already they are added to its own.
            exist_ok: With False, content that is stored already is an error.
            keep_labels: Leave the labels of a blob that is stored already as they are.

        Raises:
            SizeMismatchError, DigestMismatchError: Nothing is published, the ingest stays.
            FailedPreconditionError: ``expected`` is not the digest declared before; as above.
            AlreadyExistsError: Not with ``exist_ok``; the ingest is removed, the blob unchanged.
            WriterClosedError: It was closed before; nothing changes.
            DurabilityError: A sync failed; nothing is published, the bytes are dropped.
        """
        with self._gate:
            self._require_open()
            try:
                kept = check_labels(labels or {})
                sink = self._verify(size, expected)
                candidate = self._make_candidate(
                    sink, kept, keep_labels=keep_labels or not exist_ok
                )
                self._file.seal(candidate.now_ns)
                if (batch := self._batch()) is not None:
                    return self._join(batch, candidate, exist_ok=exist_ok)
                self.sync()
                outcome = self._publish(candidate)
                if outcome is Outcome.EXISTS and not exist_ok:
                    raise AlreadyExistsError(candidate.digest)
                return settled(self._parts, candidate, outcome)
            finally:
                if not self._joined:
                    try:
                        self._settle()
                    except BaseException:  # from a signal handler; the ref must be freed
                        self._end()
                        raise

    def _settle(self) -> None:
        """Keep the ingest if the commit did not make it a blob, and end the writer."""
        try:
            self._file.unseal()
            self._file.sync_changes()
        finally:
            self._end()

    def _join(self, batch: Batch, candidate: Candidate, *, exist_ok: bool) -> Info:
        known = batch.stored(candidate)
        if known is None:
            try:
                info = batch.join(self, candidate)
                self._closed = self._joined = True
            except BaseException:  # the group must not use a file that is closed
                batch.withdraw(self)
                raise
            return info
        self._file.drop()
        if not exist_ok:
            raise AlreadyExistsError(candidate.digest)
        return known

    @property
    def _declared(self) -> Declared:
        row = self._intake.row
        return Declared(row.total, self._intake.expected, row.metadata)

    def _verify(self, size: int | None, expected: str | None) -> Sink:
        """Return the hashes of all bytes; raise if they contradict what was declared."""
        intake = self._intake
        intake.take_note()
        wanted = check_commit(self.ref, self._declared, intake.offset, size=size, expected=expected)
        sink = intake.running(None if wanted is None else wanted.algorithm)
        if wanted is not None and sink.digest != wanted:
            raise DigestMismatchError(expected=wanted, actual=sink.digest, ref=self.ref)
        return sink

    def _make_candidate(
        self, sink: Sink, labels: Mapping[str, str], *, keep_labels: bool
    ) -> Candidate:
        row = self._intake.row
        return Candidate(
            self._parts.shards,
            sink.digest,
            sink.size,
            sink.checksum,
            labels,
            time.time_ns(),
            row.ref,
            row.token,
            keep_labels=keep_labels,
        )

    def sync(self) -> None:
        """Put the bytes on disk, or drop them; a step of `commit`."""
        self._file.sync()

    def publish(self, candidate: Candidate) -> Info:
        """Name the file and record it; a step of a group's commit."""
        return settled(self._parts, candidate, self._publish(candidate))

    def _publish(self, candidate: Candidate) -> Outcome:
        outcome = publish(self._parts, candidate, self.link)
        # The row makes it a blob for good: any process can do the rest, at any time.
        if outcome is Outcome.FENCED:
            raise ref_locked(self._parts, self.ref)
        self._file.take_away()
        return outcome

    def link(self, directory: Directory, name: str) -> bool:
        """Give the ingest's file a second name; return False if the name is taken."""
        return self._file.link(directory, name)

    def settle_joined(self, result: Info | ContentDBError | None) -> None:
        """End a commit that was part of a group; errors here do not change its result."""
        with swallow("local.ingest", _UNSETTLED, ContentDBError, ref=self.ref):
            try:
                self._settle_file(result)
            except ContentDBError:
                raise
            except BaseException:  # from a signal handler; a closed file cannot be settled
                self._settle_file(result)
                raise
            finally:
                self._let_go()

    def _settle_file(self, result: Info | ContentDBError | None) -> None:
        if isinstance(result, DurabilityError):  # as if its own sync had failed
            self._file.drop()
        elif isinstance(result, Exception) or result is None:
            self._file.unseal()
            self._file.sync_changes()
        else:
            self._file.take_away()

    def close(self) -> None:
        """Keep the bytes for a later resume, and free the ref; may be repeated."""
        with self._ending:
            if self.closed:
                self._closed = True
                return
            try:
                self._file.sync_changes()
                self._end()
            except BaseException:
                self._end()
                raise

    def _end(self) -> None:
        """Free the ref; may be repeated where an exception interrupted it."""
        with self._ending:
            if self._closed and self._file.is_released:
                return
            self._closed = True
            try:
                self._let_go()
            except BaseException:
                self._file.release()
                self._intake.forget()
                raise

    def _let_go(self) -> None:
        try:
            self._intake.close()
            if self._file.changed:
                row, intake = self._intake.row, self._intake
                self._parts.index.pause(row.ref, row.token, intake.offset, intake.updated_ns)
        finally:
            self._file.release()

    def __reduce__(self) -> NoReturn:
        """Raise: only this process holds the ref."""
        raise TypeError(
            f"the writer of ref {self.ref!r:.80} cannot be pickled or copied; "
            "close it, and open the ref again from a store that was"
        )

    def __del__(self) -> None:
        """Free the ref of a writer that was never closed; its bytes are in the file."""
        if not getattr(self, "_closed", True) and self._pid == os.getpid():
            self._closed = True
            self._file.release()
            self._intake.forget()
