"""Bytes in: under a ref, resumable; or in one go."""

from __future__ import annotations

import math
import os
import time
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Final, Self

from contentdb import adding
from contentdb.batch import Batch
from contentdb.beginning import begin, declare
from contentdb.bulk import add_many
from contentdb.digest import Digest
from contentdb.errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    NotFoundError,
    RefLockedError,
)
from contentdb.index import Takeover
from contentdb.labels import check_labels
from contentdb.layout import check_ref
from contentdb.publish import stored
from contentdb.resuming import take_in
from contentdb.sources import bytes_of, origin_of, reading
from contentdb.store.active import Active
from contentdb.writer import LocalWriter

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping
    from typing import BinaryIO

    from typing_extensions import Buffer

    from contentdb.adding import Link
    from contentdb.beginning import Declared
    from contentdb.content import Info, Openable, Progress, Readable
    from contentdb.errors import ContentDBError

__all__ = ["Ingesting"]

_WAIT_S: Final = 0.5
"""How long one look at a held ref lasts, for whoever waits for it longer."""


class Ingesting(Active):
    """Plays `contentdb.content.Ingester`, which drops ingests that are of no more use."""

    def writer(
        self,
        ref: str,
        *,
        total: int | None = None,
        expected: str | None = None,
        wait: float | bool = False,
        resume: bool = False,
        metadata: Mapping[str, str] | None = None,
        redeclare: bool = False,
    ) -> LocalWriter:
        """Begin the ingest of a ref, or resume it, and hold it until the writer is closed.

        Without ``resume`` nothing is left of an earlier try of the ref. With it the writer goes
        on with what is there, even where the one before it was killed; look at `offset`.
        Beginning is not durable: a power cut may forget an ingest, never a commit.

        Args:
            ref: The caller's name for it: any text of 1 to 4096 bytes.
            total: Size in bytes, checked at the commit.
            expected: Digest, checked at the commit.
            wait: How long to wait for another writer of the ref, in seconds; True for ever.
            resume: Go on with what is there, of the content that was declared before.
            metadata: Texts to note with the ingest, of 16 KiB together; see `Status.metadata`.
                On a resume None leaves those that are there.
            redeclare: Let this ``total`` and ``expected`` replace those declared before.

        Raises:
            AlreadyExistsError: ``expected`` is stored; no ingest was made.
            RefLockedError: Another writer holds the ref.
            FailedPreconditionError: ``total`` or ``expected`` contradict what a resumed ingest
                was declared to be.
        """
        takeover = Takeover.REPLACE if redeclare else Takeover.AGREE
        declared = declare(total, expected, metadata)
        return self._writer(ref, declared, takeover if resume else Takeover.ANEW, wait=wait)

    def _writer(
        self, ref: str, declared: Declared, takeover: Takeover, *, wait: float | bool
    ) -> LocalWriter:
        batch = self._batch
        if batch is not None and batch.holds(ref):
            batch.flush()
        if not wait >= 0:
            raise InvalidArgumentError(f"a wait is 0 or more seconds, or True, not {wait}")
        deadline = time.monotonic() + (math.inf if wait is True else wait)
        while True:
            slice_s = min(_WAIT_S, max(0.0, deadline - time.monotonic()))
            try:
                with self._gate:  # for a while only: it may be this store's end that frees the ref
                    row, fd, size = begin(self._parts, ref, declared, takeover, wait=slice_s)
                    made = LocalWriter(self._parts, self._gate, row, fd, size, lambda: self._batch)
                    self._writers.add(made)
                    return made
            except RefLockedError:
                if time.monotonic() >= deadline:
                    raise

    def ingest(  # noqa: PLR0913 - all but two have a default that fits most
        self,
        ref: str,
        source: Readable | Openable,
        *,
        total: int | None = None,
        expected: str | None = None,
        labels: Mapping[str, str] | None = None,
        wait: float | bool = True,
        keep_labels: bool = False,
        metadata: Mapping[str, str] | None = None,
        progress: Progress | None = None,
    ) -> Info:
        """Take a whole source in under a ref; durable when it returns, and may be repeated.

        It waits for its turn and goes on where an earlier try stood. With ``expected`` it seeks
        to that place; without, it reads the source from its start and compares: bytes that an
        earlier try left of other content are replaced, never mixed in. So they are as well where
        the whole does not match ``expected``. Content that is stored already is success, and if
        ``expected`` says so the source is not read.

        Args:
            ref: The caller's name for it.
            source: A binary stream, whose content begins where it stands; or a function that
                gives a stream of the content from an offset on, such as by a Range request.
            total: Size in bytes; no more than that is read.
            expected: Digest.
            labels: Set on the blob; on one that is stored already they are added to its own.
            wait: How long to wait for another writer of the ref, in seconds; True for ever.
            keep_labels: Leave the labels of a blob that is stored already as they are.
            metadata: Texts to note with the ingest, of 16 KiB together. Where they are the same
                as those of the earlier try, an ETag say, a function is asked for the rest of
                the content alone, without ``expected`` too.
            progress: Called with the bytes that are in and the total, which may be unknown.

        Raises:
            SizeMismatchError, DigestMismatchError: The source is not what was declared, or ended
                early; the ingest is kept, to be resumed, or dropped by `abort`.
            RefLockedError: Another writer went on holding the ref.
            OSError: What the source raised; what came before it is kept.
        """
        check_ref(ref)
        declared = declare(total, expected, metadata)
        kept = check_labels(labels or {})
        with closing(origin_of(source)) as origin:
            try:
                writer = self._writer(ref, declared, Takeover.PREFER, wait=wait)
            except AlreadyExistsError as error:
                return self._stored_meanwhile(ref, error)
            with writer:
                take_in(writer, origin, declared, progress)
                return writer.commit(labels=kept, keep_labels=keep_labels)

    def _stored_meanwhile(self, ref: str, error: AlreadyExistsError) -> Info:
        """The content came in by another way: what this ref had of it is of no use."""
        digest = Digest(error.digest)
        with self._gate:
            row = self._parts.index.ingest(ref)
        if row is not None and row.expected in {None, digest}:  # else it is of something else
            with suppress(NotFoundError, RefLockedError):
                self.abort(ref)
        batch = self._batch
        with self._gate:
            info = stored(self._parts, digest)
        if info is None and batch is not None:
            info = batch.known(digest)
        if info is None:  # it was deleted again in this very moment
            raise error
        return info

    def add(
        self,
        source: Buffer | BinaryIO | os.PathLike[str],
        *,
        expected: str | None = None,
        labels: Mapping[str, str] | None = None,
        link: Link = "copy",
    ) -> Info:
        """Store content without a ref; durable when it returns, and may be repeated.

        Content that is stored already is success, and costs no write.

        Args:
            source: Bytes, a binary stream, or the path of a regular file.
            expected: Digest; when it is stored, the source is not read.
            labels: For a blob that is new; one that is stored keeps its own.
            link: How a path's bytes get in. ``reflink`` shares its blocks; ``hardlink`` makes the
                file itself the blob, read-only from then on; ``move`` also takes its name
                away. Each becomes a copy where the filesystem cannot.

        Raises:
            DigestMismatchError: The content is not what was expected; nothing is stored.
            StorageError: The source or the disk failed; nothing is stored.
        """
        kept = check_labels(labels) if labels else {}
        wanted = None if expected is None else Digest(expected)
        adding.check_link(link)
        with self._gate:
            if wanted is not None and (known := stored(self._parts, wanted)) is not None:
                if link == "move" and isinstance(source, os.PathLike):
                    return adding.add_path(self._parts, source, wanted, kept, link)
                return known
            batch = self._batch
            if batch is not None and link == "copy":
                return batch.add(source, wanted, kept)
            view = bytes_of(source)
            if view is not None:
                return adding.add_bytes(self._parts, view, wanted, kept)
            if isinstance(source, os.PathLike):
                return adding.add_path(self._parts, source, wanted, kept, link)
            return adding.add_stream(self._parts, reading(source), wanted, kept)

    def add_many(
        self,
        sources: Iterable[Buffer | BinaryIO | os.PathLike[str]],
        *,
        expected: Iterable[str | None] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Generator[Info | ContentDBError]:
        """Store many sources, sharing the cost of durability; durable when yielded.

        An answer comes for each source, in order: its `Info`, or the error that concerns it
        alone. Memory is bounded, and a slow source does not hold back those before it.

        Args:
            sources: Bytes, binary streams, or paths of regular files.
            expected: As many digests, or None, each for its source.
            labels: For blobs that are new.

        Raises:
            InvalidArgumentError: ``expected`` has fewer or more items than ``sources``.
        """
        kept = check_labels(labels or {})
        with self._gate:
            return add_many(self._parts, self._gate, sources, expected, kept)

    @contextmanager
    def batch(self) -> Iterator[Self]:
        """Let this thread's adds and commits share the cost of durability.

        What is added or committed in the block is durable, and seen by readers, once the block
        is left; by an error too. A block within a block belongs to the outer one.

        Raises:
            ContentDBError: At the end, what kept something from being stored.
        """
        if self._batch is not None:
            yield self
            return
        batch = self._local.batch = Batch(self._parts)
        try:
            yield self
        finally:
            self._local.batch = None
            if batch.is_ours:
                try:
                    with self._gate:
                        batch.flush()
                finally:
                    batch.discard()
