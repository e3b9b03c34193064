"""One ingest while it is held: bytes in, and the commit as straight code in protocol order."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn, Self

from contentdb.beginning import check_total, forget_beyond, ref_locked
from contentdb.content import Status
from contentdb.digest import DEFAULT_ALGORITHM, Digest
from contentdb.errors import (
    AlreadyExistsError,
    ContentDBError,
    DigestMismatchError,
    DurabilityError,
    SizeMismatchError,
    WriterClosedError,
)
from contentdb.held import HeldFile
from contentdb.index import Outcome
from contentdb.labels import check_labels
from contentdb.pipeline import Sink
from contentdb.publish import Candidate, publish, settled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from typing_extensions import Buffer

    from contentdb.batch import Batch
    from contentdb.content import Info
    from contentdb.files import Directory
    from contentdb.gate import Gate
    from contentdb.index import IngestRow
    from contentdb.parts import Parts

__all__ = ["LocalWriter"]


class LocalWriter:
    """Plays `contentdb.content.Writer` on files; for one thread at a time."""

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
        self._row = row
        self._file = HeldFile(parts, row, fd)
        self._offset = offset
        self._updated_ns = row.updated_ns
        self._sink: Sink | None = None
        self._pid = os.getpid()
        self._closed = False
        self._ending = threading.RLock()
        self._expected = None if row.expected is None else Digest(row.expected)
        self._algorithm = self._expected.algorithm if self._expected else DEFAULT_ALGORITHM

    # -- what it is --------------------------------------------------------------------------

    @property
    def ref(self) -> str:
        """The caller's name for the ingest."""
        return self._row.ref

    @property
    def offset(self) -> int:
        """Bytes that have reached the file."""
        return self._offset if self._sink is None else self._sink.size

    @property
    def digest(self) -> Digest:
        """Of all bytes so far, by the algorithm of the expected digest, else SHA-256."""
        with self._gate:
            self._require_open()
            return self._running().digest

    @property
    def closed(self) -> bool:
        """Whether it was closed or committed, or lies on the other side of a fork."""
        return self._closed or self._pid != os.getpid()

    def status(self) -> Status:
        """Describe the ingest as it is now."""
        row = self._row
        return Status(
            row.ref, self.offset, row.total, self._expected, row.started_ns, self._updated_ns,
            held=not self.closed,
        )  # fmt: skip

    def _require_open(self) -> None:
        if self.closed:
            raise WriterClosedError(self._row.ref)

    def _running(self, algorithm: str | None = None) -> Sink:
        """The running hashes; after a resume the bytes that are there are read for them."""
        wanted = algorithm or self._algorithm
        if self._sink is not None and self._sink.algorithm != wanted and algorithm is not None:
            self._sink.mend()
            self._sink.close()
            self._took(self._sink)
            self._sink = None
        if self._sink is None:
            sink = self._new_sink(wanted)
            sink.take_what_is_there(self._offset)
            self._sink = sink  # now only: a signal's handler may raise while it reads
        return self._sink

    def _new_sink(self, algorithm: str) -> Sink:
        return Sink(self._file.fd, self._file.path, algorithm, durable=self._parts.durable)

    # -- bytes in ----------------------------------------------------------------------------

    def write(self, data: Buffer, /) -> int:
        """Append; what is counted has reached the file. Not durable before `commit`.

        Raises:
            StorageError: The system refused; `offset` tells how much got there.
        """
        with self._gate:
            self._require_open()
            sink = self._running()
            try:
                return sink.write(data)
            finally:
                self._took(sink)

    def feed(self, data: Buffer) -> None:
        """Like `write`, but the buffer must stay as it is until `settle`."""
        with self._gate:
            self._require_open()
            sink = self._running()
            try:
                sink.feed(data)
            finally:
                self._took(sink)

    def settle(self, *, pending: int = 0) -> None:
        """Return when no more than so many buffers of `feed` are in use."""
        if self._sink is not None:
            self._sink.settle(pending=pending)

    def _took(self, sink: Sink) -> None:
        if sink.size != self._offset:
            self._offset = sink.size
            self._updated_ns = time.time_ns()
            self._file.changed = True

    def truncate(self) -> None:
        """Go back to offset 0, under the same lock."""
        with self._gate:
            self._require_open()
            self._row = forget_beyond(self._parts, self._row, 0)
            sink = self._sink or self._new_sink(self._algorithm)
            sink.truncate()
            self._sink = sink
            self._offset = 0
            self._updated_ns = time.time_ns()
            self._file.changed = True

    def redeclare(self, *, total: int | None, expected: Digest | None) -> None:
        """Let another size and digest replace those declared before, under the same lock.

        Not durable, like beginning; may be repeated.

        Raises:
            RefLockedError: The ingest was lost to another writer.
        """
        with self._gate:
            self._require_open()
            row = self._row
            found = self._parts.index.ingest(row.ref)
            if found is None or found.token != row.token:
                raise ref_locked(self._parts, row.ref)
            # The index takes the row's start for the time since when it is held.
            row = row._replace(
                total=check_total(total), expected=expected, started_ns=row.held_since_ns
            )
            self._row = self._parts.index.begin(row, redeclare=True)
            self._expected = expected
            self._algorithm = expected.algorithm if expected else DEFAULT_ALGORITHM

    # -- the end -----------------------------------------------------------------------------

    def commit(
        self,
        *,
        size: int | None = None,
        expected: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Info:
        """Verify, publish, and end the writer, whatever happens. Durable when it returns.

        Raises:
            SizeMismatchError, DigestMismatchError: Nothing is published, the ingest stays.
            AlreadyExistsError: The content was stored already; the ingest is gone.
            WriterClosedError: It was closed before; nothing changes.
            DurabilityError: A sync failed; nothing is published, the bytes are dropped.
        """
        with self._gate:
            self._require_open()
            try:
                candidate = self._verified(size, expected, check_labels(labels or {}))
                self._file.seal(candidate.now_ns)
                if (batch := self._batch()) is not None:
                    return self._join(batch, candidate)
                self.sync()
                return self.publish(candidate)
            finally:
                if not self._joined:
                    try:
                        self._file.unseal()
                        self._file.sync_changes()
                    finally:
                        self._end()

    def _join(self, batch: Batch, candidate: Candidate) -> Info:
        try:
            info = batch.join(self, candidate)
        except AlreadyExistsError:
            self._file.drop()
            raise
        self._closed = self._joined = True
        return info

    def _verified(
        self, size: int | None, expected: str | None, labels: Mapping[str, str]
    ) -> Candidate:
        wanted = None if expected is None else Digest(expected)
        if self._sink is not None:
            self._took(self._sink)  # a handler may have raised before the last write did that
        for declared in (size, self._row.total):
            if declared is not None and declared != self._offset:
                raise SizeMismatchError(expected=declared, actual=self._offset)
        if None not in {wanted, self._expected} and wanted != self._expected:
            raise DigestMismatchError(expected=str(self._expected), actual=str(wanted))
        wanted = wanted or self._expected
        sink = self._running(None if wanted is None else wanted.algorithm)
        digest = sink.digest
        if wanted is not None and digest != wanted:
            raise DigestMismatchError(expected=wanted, actual=digest)
        return Candidate(
            self._parts.shards,
            digest,
            sink.size,
            sink.checksum,
            labels,
            time.time_ns(),
            self._row.ref,
            self._row.token,
        )

    def sync(self) -> None:
        """Put the bytes on disk, or drop them; a step of `commit`."""
        self._file.sync()

    def publish(self, candidate: Candidate) -> Info:
        """Name the file and record it; a step of `commit`."""
        outcome = publish(self._parts, candidate, self.link)
        # With the row there is no way back: what remains can be done by anybody, at any time.
        if outcome is Outcome.FENCED:
            raise ref_locked(self._parts, self._row.ref)
        self._file.take_away()
        if outcome is Outcome.EXISTS:
            raise AlreadyExistsError(candidate.digest)
        return settled(self._parts, candidate, outcome)

    def link(self, directory: Directory, name: str) -> bool:
        """Give the ingest's file a second name; False if that is taken."""
        return self._file.link(directory, name)

    def settle_joined(self, result: Info | ContentDBError | None) -> None:
        """End a commit that shared the cost of durability with others; its result stands."""
        with suppress(ContentDBError):
            try:
                if isinstance(result, DurabilityError):  # as where a sync of its own fails
                    self._file.drop()
                elif isinstance(result, Exception) or result is None:
                    self._file.unseal()
                    self._file.sync_changes()
                else:
                    self._file.take_away()
            finally:
                self._let_go()

    def close(self) -> None:
        """Keep what was written for a later resume, and free the ref; twice is harmless."""
        with self._ending:
            if self.closed:
                self._closed = True
                return
            try:
                self._file.sync_changes()
            finally:
                self._end()

    def _end(self) -> None:
        with self._ending:
            if self._closed:
                return
            self._closed = True
            self._let_go()

    def _let_go(self) -> None:
        try:
            if self._sink is not None:
                self._sink.close()
            if self._file.changed:
                row = self._row
                self._parts.index.pause(row.ref, row.token, self.offset, self._updated_ns)
        finally:
            self._file.release()

    def __reduce__(self) -> NoReturn:
        """Stay in this process: it is the one that holds the ref."""
        raise TypeError(
            f"the writer of ref {self._row.ref!r:.80} cannot be pickled or copied; "
            "close it, and open the ref again from a store that was"
        )

    def __enter__(self) -> Self:
        """Close at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        """Let a forgotten writer hold nothing; its bytes are in the file."""
        if not getattr(self, "_closed", True) and self._pid == os.getpid():
            self._closed = True
            self._file.release()
            if self._sink is not None:
                self._sink.forget()
