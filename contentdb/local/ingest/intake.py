"""Append bytes to the file of a held ingest, or compare them with those of an earlier try."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from contentdb.digest import DEFAULT_ALGORITHM, Digest
from contentdb.local.ingest.begin import forget_beyond
from contentdb.local.ingest.file import HeldFile
from contentdb.local.sink import Sink

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from contentdb.local.call_guard import Gate
    from contentdb.local.index import IngestRow
    from contentdb.local.resources import Parts

__all__ = ["Comparison", "Intake"]


class Intake:
    """The offset and the running hashes of an ingest; its owner frees the file's lock."""

    def __init__(self, parts: Parts, row: IngestRow, fd: int, offset: int) -> None:
        self.file = HeldFile(parts, row, fd)
        self.take_row(row)
        self.updated_ns = row.updated_ns
        self._parts = parts
        self._offset = offset
        self._sink: Sink | None = None

    @property
    def offset(self) -> int:
        """Bytes that have reached the file."""
        return self._offset if self._sink is None else self._sink.size

    def take_row(self, row: IngestRow) -> None:
        """Use a row as it is in the index now, with our token."""
        self.row = row
        self.expected = None if row.expected is None else Digest(row.expected)
        """The digest that was declared."""
        self._algorithm = self.expected.algorithm if self.expected else DEFAULT_ALGORITHM

    def running(self, algorithm: str | None = None) -> Sink:
        """Return the running hashes; after a resume, read the file for them."""
        wanted = algorithm or self._algorithm
        if self._sink is not None and self._sink.algorithm != wanted:
            self._forget_hashes(self._sink)
        if self._sink is None:
            sink = self._new_sink(wanted)
            sink.take_what_is_there(self._offset)
            self._sink = sink  # only now: a signal handler may raise during the read
        return self._sink

    def _new_sink(self, algorithm: str) -> Sink:
        return Sink(self.file.fd, self.file.path, algorithm, durable=self._parts.durable)

    def _forget_hashes(self, sink: Sink) -> None:
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

    # -- appending -----------------------------------------------------------------------------

    def write(self, data: Buffer) -> int:
        """Append; the caller may change the buffer afterwards."""
        sink = self.running()
        try:
            return sink.write(data)
        finally:
            self.take_note()

    def feed(self, data: Buffer) -> None:
        """Append like `write`, but the buffer must not change until `settle`."""
        sink = self.running()
        try:
            sink.feed(data)
        finally:
            self.take_note()

    def settle(self, *, pending: int = 0) -> None:
        """Wait until at most ``pending`` buffers of `feed` are in use."""
        if self._sink is not None:
            self._sink.settle(pending=pending)

    def truncate(self) -> None:
        """Remove all bytes and go back to offset 0."""
        self.row = forget_beyond(self._parts, self.row, 0)
        sink = self._sink or self._new_sink(self._algorithm)
        sink.truncate()
        self._sink = sink
        self._offset = 0
        self.updated_ns = time.time_ns()
        self.file.changed = True

    def new_sink(self) -> Sink:
        """Return new hashes, which begin at the start of the file."""
        return self._new_sink(self._algorithm)

    def cut(self, kept: Sink) -> None:
        """Remove the bytes behind those that ``kept`` has hashed, and append from there on."""
        self.row = forget_beyond(self._parts, self.row, kept.size)
        old, self._sink = self._sink, kept
        self._note(kept.size)
        kept.cut()
        if old is not None:
            old.close()

    # -- the end -------------------------------------------------------------------------------

    def close(self) -> None:
        """End the hashing thread; the file stays open."""
        if self._sink is not None:
            self._sink.close()

    def forget(self) -> None:
        """Do as `close`, without waiting for the thread."""
        if self._sink is not None:
            self._sink.forget()


class Comparison:
    """A comparison of a source with the bytes received already, from the start of both."""

    def __init__(self, gate: Gate, intake: Intake) -> None:
        self._gate = gate
        self._intake = intake
        self._sink = intake.new_sink()

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
        return self._intake.offset - self._sink.size

    def compare(self, data: Buffer) -> int:
        """Compare the next bytes of the source; return how many of them are equal."""
        with self._gate:
            return self._sink.compare(memoryview(data).cast("B")[: self.left])

    def end(self) -> None:
        """Keep only the equal bytes; the next write goes behind them."""
        with self._gate:
            self._intake.cut(self._sink)
