"""The bytes of a held ingest: append them to its file, or compare them with a source."""

from __future__ import annotations

import time

from contentdb.declared import Takeover
from contentdb.digest import DEFAULT_ALGORITHM, Digest
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.ingest.begin import forget_beyond, ref_locked_error
from contentdb.local.ingest.file import HeldFile
from contentdb.local.reservation import STEP_BYTES
from contentdb.local.sink import Sink

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from contentdb.call_guard import Gate
    from contentdb.declared import Declared
    from contentdb.local.index import IngestRow
    from contentdb.local.reservation import Reservation
    from contentdb.local.resources import Parts
    from contentdb.values import Status

__all__ = ["Comparison", "Intake"]


class Intake:
    """The offset and the running hashes of an ingest, and what its writers declared."""

    is_unsent = False
    """Whether another namespace holds the content, so that only the commit is left to do."""

    def __init__(
        self, parts: Parts, gate: Gate, row: IngestRow, fd: int, offset: int, room: Reservation
    ) -> None:
        self.file = HeldFile(parts, row, fd)
        self.room = room
        self._take_row(row)
        self.updated_ns = row.updated_ns
        self._parts = parts
        self._gate = gate
        self._offset = offset
        self._sink: Sink | None = None

    def _require_open(self) -> None:
        """Raise if the ingest is closed; see `contentdb.local.ingest.held`."""
        raise NotImplementedError

    # -- what it is --------------------------------------------------------------------------

    @property
    def ref(self) -> str:
        """The caller's name for the ingest."""
        return self.row.ref

    @property
    def declared(self) -> Declared:
        """What its writers have declared so far."""
        return self.row.declared

    @property
    def received(self) -> int:
        """Bytes that have reached the file."""
        return self._offset if self._sink is None else self._sink.size

    @property
    def offset(self) -> int:
        """Bytes that need not be sent any more: those that have reached the file."""
        return self.received

    @property
    def digest(self) -> Digest:
        """Digest of all bytes so far, by the algorithm of the expected digest, else SHA-256."""
        with self._gate:
            self._require_open()
            return self.running().digest

    @property
    def closed(self) -> bool:
        """Whether it was closed or committed; see `contentdb.local.ingest.held`."""
        raise NotImplementedError

    def status(self) -> Status:
        """Describe the ingest as it is now."""
        return self.row.status(self.offset, self.updated_ns, held=not self.closed)

    def _take_row(self, row: IngestRow) -> None:
        """Use a row as it is in the index now, with our token."""
        self.row = row
        self._expected = None if row.expected is None else Digest(row.expected)
        self._algorithm = self._expected.algorithm if self._expected else DEFAULT_ALGORITHM

    def redeclare(self, declared: Declared) -> None:
        """Replace the declared size and digest; with None for metadata, the metadata stays.

        Raises:
            RefLockedError: Another writer has taken over the ingest.
        """
        with self._gate:
            self._require_open()
            row = self.row
            found = self._parts.index.ingest(row.ref)
            if found is None or found.token != row.token:
                raise ref_locked_error(self._parts, row.ref)
            total, expected, metadata = declared
            row = row._replace(total=total, expected=expected, metadata=metadata)
            self._take_row(self._parts.index.begin(row, Takeover.REPLACE))

    # -- hashes ------------------------------------------------------------------------------

    def running(self, algorithm: str | None = None) -> Sink:
        """Return the running hashes; after a resume, read the file for them."""
        wanted = algorithm or self._algorithm
        if self._sink is not None and self._sink.algorithm != wanted:
            self._drop_hashes(self._sink)
        if self._sink is None:
            sink = self._new_sink(wanted)
            sink.take_what_is_there(self._offset)
            self._sink = sink  # only now: a signal handler may raise during the read
        return self._sink

    def _new_sink(self, algorithm: str) -> Sink:
        return Sink(self.file.fd, self.file.path, algorithm, durable=self._parts.durable)

    def _drop_hashes(self, sink: Sink) -> None:
        """Drop the hashes; the next use of them reads the file again."""
        sink.mend()
        sink.close()
        self.take_note()
        self._sink = None

    def take_note(self) -> None:
        """Count the bytes of the last write, where a signal handler kept it from doing so."""
        if self._sink is not None:
            self._note(self._sink.size)

    def _note(self, size: int) -> None:
        if size != self._offset:
            self._offset = size
            self.updated_ns = time.time_ns()
            self.file.changed = True

    def end_hashing(self) -> None:
        """End the hashing thread; the file stays open."""
        if self._sink is not None:
            self._sink.close()

    def forget_hashes(self) -> None:
        """Do as `end_hashing`, without waiting for the thread."""
        if self._sink is not None:
            self._sink.forget()

    # -- appending -----------------------------------------------------------------------------

    def write(self, data: Buffer) -> int:
        """Append; the caller may change the buffer afterwards. Not durable before `commit`."""
        with self._gate:
            self._require_open()
            self._cover(data)
            sink = self.running()
            try:
                return sink.write(data)
            finally:
                self._note(sink.size)

    def feed(self, data: Buffer) -> None:
        """Append like `write`, but the buffer must not change until `settle`."""
        with self._gate:
            self._require_open()
            self._cover(data)
            sink = self.running()
            try:
                sink.feed(data)
            finally:
                self._note(sink.size)

    def _cover(self, data: Buffer) -> None:
        """Reserve room for bytes that are to be appended; see `contentdb.local.reservation`."""
        if self._parts.sharing.bounded:
            size = self.received + memoryview(data).nbytes
            self.room.cover(size, step=STEP_BYTES)

    def settle(self, *, pending: int = 0) -> None:
        """Wait until at most ``pending`` buffers of `feed` are in use."""
        if self._sink is not None:
            self._sink.settle(pending=pending)

    def restart(self) -> None:
        """Remove all bytes and go back to offset 0, the ref still held."""
        with self._gate:
            self._require_open()
            self.row = forget_beyond(self._parts, self.row, 0)
            sink = self._sink or self._new_sink(self._algorithm)
            sink.truncate()
            self._sink = sink
            self._offset = 0
            self.updated_ns = time.time_ns()
            self.file.changed = True

    # -- comparing -----------------------------------------------------------------------------

    def comparison(self) -> Comparison:
        """Return a comparison of a source with the bytes received, to use before appending."""
        return Comparison(self._gate, self, self._new_sink(self._algorithm))

    def cut(self, kept: Sink) -> None:
        """Remove the bytes behind those that ``kept`` has hashed, and append from there on."""
        self.row = forget_beyond(self._parts, self.row, kept.size)
        old, self._sink = self._sink, kept
        self._note(kept.size)
        kept.cut()
        if old is not None:
            old.close()


class Comparison:
    """A comparison of a source with the bytes received already, from the start of both."""

    def __init__(self, gate: Gate, intake: Intake, sink: Sink) -> None:
        self._gate = gate
        self._intake = intake
        self._sink = sink

    @property
    def size(self) -> int:
        """Bytes found equal so far."""
        return self._sink.size

    @property
    def digest(self) -> Digest:
        """Digest of those bytes."""
        return self._sink.digest

    @property
    def left(self) -> int:
        """Received bytes that were not compared yet."""
        return self._intake.received - self._sink.size

    def compare(self, data: Buffer) -> int:
        """Compare the next bytes of the source; return how many of them are equal."""
        with self._gate:
            return self._sink.compare(memoryview(data).cast("B")[: self.left])

    def end(self) -> None:
        """Keep only the equal bytes; the next write goes behind them."""
        with self._gate:
            self._intake.cut(self._sink)
