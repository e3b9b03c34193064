"""The bytes of a held ingest: append them, take them up again, compare them with a source."""

from __future__ import annotations

import errno
import threading
from typing import TYPE_CHECKING

from contentdb.cluster.catalog import ingests
from contentdb.cluster.comparison import Comparison
from contentdb.cluster.extents import pieces, uncovered, without_last
from contentdb.cluster.fetch import MissingError, fetch_pieces
from contentdb.cluster.segments import Segments, segment_size
from contentdb.digest import DEFAULT_ALGORITHM, Digest, Hasher
from contentdb.errors import FailedPreconditionError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Buffer

    from contentdb.call_guard import Gate
    from contentdb.cluster.extents import Run
    from contentdb.cluster.resources import Resources
    from contentdb.content import Status
    from contentdb.declared import Declared

__all__ = ["Intake"]


class Intake:
    """The offset and running hashes of an ingest, and what its writers declared."""

    is_unsent = False
    """Whether another namespace holds the content; here each writer sends its bytes."""

    def __init__(
        self, resources: Resources, gate: Gate, namespace: str, row: ingests.IngestRow
    ) -> None:
        self.row = row
        self.key = ingests.IngestKey(namespace, row.ref, row.token)
        self._resources = resources
        self._gate = gate
        self._noted = row.runs
        """What the row lists now."""
        self._segments: Segments | None = None
        self._hasher: Hasher | None = None
        self._torn = False
        """Whether bytes and hashes may disagree: an exception has cut off a write."""
        self.ending = threading.RLock()

    def require_open(self) -> None:
        """Raise if the ingest is closed; see `contentdb.cluster.ingest`."""
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
    def offset(self) -> int:
        """Bytes that were taken in; the last of them may be in this process only."""
        return self.row.offset if self._segments is None else self._segments.size

    @property
    def digest(self) -> Digest:
        """Digest of all bytes so far, by the algorithm of the expected digest, else SHA-256."""
        with self._gate:
            self.require_open()
            return self.hashed().digest

    @property
    def closed(self) -> bool:
        """Whether it was closed or committed; see `contentdb.cluster.ingest`."""
        raise NotImplementedError

    def status(self) -> Status:
        """Describe the ingest as it is now."""
        return self.row.status(self.offset, held=not self.closed)

    def redeclare(self, declared: Declared) -> None:
        """Replace the declared size and digest; with None for metadata, the metadata stays.

        Raises:
            RefLockedError: Another writer has taken over the ingest.
        """
        with self._gate:
            self.require_open()
            row = ingests.redeclare(self._resources.database, self.key, declared)
            if row is None:
                raise self.lost_error()
            self.row = row._replace(updated_ns=self.row.updated_ns)

    def lost_error(self, session: int | None = None) -> Exception:
        """Return the error of a writer whose ref another one has taken, or whose session ended.

        The latter, if a prune has fenced the session given; then the process gets another one.
        """
        if session is not None and self._resources.session.renew(session):
            reason = "a prune took this process for dead meanwhile; begin the ingest again"
            return StorageError("store", f"ref {self.ref!r:.80}", OSError(errno.ESTALE, reason))
        found = ingests.find(self._resources.database, self.key.namespace, self.ref)
        return ingests.locked_error(found, self.ref)

    # -- taking up again -------------------------------------------------------------------------

    def _algorithm(self) -> str:
        expected = self.declared.expected
        return DEFAULT_ALGORITHM if expected is None else expected.algorithm

    def segments(self) -> Segments:
        """Return the bytes; of those of an earlier writer, the last short object is read again.

        It becomes the beginning of a segment: so content that came in many small parts is few
        objects in the end.
        """
        if self._segments is None:
            runs, offset = self.row.runs, self.row.offset
            head = b""
            if runs and runs[-1].last_size < segment_size(offset - runs[-1].last_size):
                size = runs[-1].last_size
                offset -= size
                head = b"".join(self._read(runs, offset, size))
                runs = without_last(runs)
            made = Segments(self._resources, runs, offset)
            made.buffer += head
            self._segments = made
        return self._segments

    def _read(self, runs: tuple[Run, ...], offset: int, size: int) -> Iterator[bytes]:
        """Yield bytes of the ingest's objects.

        Raises:
            FailedPreconditionError: One is gone or cut off.
        """
        try:
            yield from fetch_pieces(self._resources, pieces(runs, offset, size))
        except MissingError as error:
            raise FailedPreconditionError(
                f"ref {self.ref!r:.80}: its object {error} is gone or cut off; start over with "
                "resume=False, or abort() drops it"
            ) from error

    def stored_bytes(self) -> Iterator[bytes]:
        """Yield all bytes of the ingest, from the object store and from memory."""
        segments = self.segments()
        yield from self._read(segments.runs, 0, segments.stored)
        yield bytes(segments.buffer)

    def hashed(self, algorithm: str | None = None) -> Hasher:
        """Return the running hashes; where they are unknown, all bytes are read for them."""
        wanted = algorithm or self._algorithm()
        if self._hasher is None or self._torn or self._hasher.algorithm != wanted:
            segments = self.segments()
            segments.finish_way()
            hasher = Hasher(wanted)
            for piece in self.stored_bytes():
                hasher.update(piece)
            self._hasher, self._torn = hasher, False
        return self._hasher

    # -- appending -----------------------------------------------------------------------------

    def write(self, data: Buffer) -> int:
        """Append; the caller may change the buffer afterwards. Not durable before `commit`."""
        view = memoryview(data).cast("B")
        with self._gate:
            self.require_open()
            hasher = self.hashed()
            segments = self.segments()
            self._torn = True
            grown = segments.add(view)
            hasher.update(view)
            self._torn = False
            if grown:
                self.note(segments.stored, segments.runs)
        return len(view)

    def feed(self, data: Buffer) -> None:
        """Append like `write`."""
        self.write(data)

    def settle(self, *, pending: int = 0) -> None:
        """Return at once: `feed` has copied the buffer."""

    def note(self, offset: int, runs: tuple[Run, ...]) -> None:
        """Note in the row how far the ingest is; durable."""
        gone = tuple(uncovered(self._noted, runs))
        written = self._segments.session if self._segments is not None else 0
        session = written or self._resources.session.id
        database = self._resources.database
        updated_ns = ingests.progress(database, self.key, session, offset, runs, gone)
        if updated_ns is None:
            self.lose()
            raise self.lost_error(session)
        self._noted = runs
        self.row = self.row._replace(offset=offset, runs=runs, updated_ns=updated_ns)

    def lose(self) -> None:
        """Give up: another writer has the ref; see `contentdb.cluster.ingest`."""
        raise NotImplementedError

    def restart(self) -> None:
        """Remove all bytes, the ref still held."""
        with self._gate:
            self.require_open()
            self._keep(Segments(self._resources), Hasher(self._algorithm()))

    def _keep(self, segments: Segments, hasher: Hasher) -> None:
        before = self._segments
        if before is not None:
            # all that was sent: an object that no row lists would stay until this process ends
            sent = before.end()
            self._noted = (*uncovered(self._noted, sent), *sent)
        self._segments, self._hasher, self._torn = segments, hasher, False
        self.note(segments.stored, segments.runs)

    # -- comparing -----------------------------------------------------------------------------

    def comparison(self) -> Comparison:
        """Return a comparison of a source with the bytes received, to use before appending."""
        with self._gate:
            self.require_open()
            self.segments().finish_way()
            return Comparison(self, self._gate, Hasher(self._algorithm()))

    def cut(self, size: int, hasher: Hasher) -> None:
        """Keep the first bytes, whose hashes are given; whole objects of them stay."""
        segments = self.segments()
        if size >= segments.size:
            self._hasher, self._torn = hasher, False
            return
        made = Segments(self._resources)
        if size > segments.stored:
            made.runs, made.stored = segments.runs, segments.stored
            made.buffer += segments.buffer[: size - segments.stored]
        else:
            runs = segments.runs
            stored = segments.stored
            while stored > size:
                stored -= runs[-1].last_size
                runs = without_last(runs)
            made.runs, made.stored = runs, stored
            made.buffer += b"".join(self._read(segments.runs, stored, size - stored))
        self._keep(made, hasher)
