"""Storing content: under a ref, resumable; or without one, in one call."""

from __future__ import annotations

from contextlib import closing, contextmanager, suppress

from contentdb.declared import Takeover, declare
from contentdb.digest import Digest
from contentdb.engine import Capability
from contentdb.errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    NotFoundError,
    RefLockedError,
)
from contentdb.labels import NO_LABELS, labelling
from contentdb.light_typing import TYPE_CHECKING, overload
from contentdb.refs import check_ref
from contentdb.store.add_many import AddIterator, each_asked
from contentdb.store.front import Front

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from typing import Any, Final, Literal, Self

    from typing_extensions import Buffer

    from contentdb.content import Info, Link, Openable, Progress, Source, Writer
    from contentdb.declared import Declared
    from contentdb.engine import HeldIngest
    from contentdb.errors import ContentDBError
    from contentdb.labels import Labelling
    from contentdb.store.writer import IngestWriter

__all__ = ["Write", "check_link"]

_LINKS: Final = ("reflink", "hardlink", "copy", "move")


def _check_progress(progress: object) -> None:
    """Raise `InvalidArgumentError` for a ``progress`` that is not None and cannot be called."""
    if progress is not None and not callable(progress):
        kind = type(progress).__name__
        raise InvalidArgumentError(f"progress is a function of bytes done and total, not {kind}")


def check_link(link: object) -> None:
    """Raise `InvalidArgumentError` unless ``link`` is a `Link`."""
    if link not in _LINKS:
        raise InvalidArgumentError(f"link is one of {', '.join(_LINKS)}, not {link!r}")


class Write(Front):
    """Implements `contentdb.content.Ingester`."""

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
    ) -> Writer:
        """Begin the ingest of a ref, or resume it, and hold the ref until the writer is closed.

        Without ``resume`` the bytes of an earlier try of the ref are removed. With it the writer
        appends to them, also after the earlier writer was killed; `offset` tells how many there
        are. Beginning is not durable: a power cut may lose an ingest, never a commit.

        Args:
            ref: The caller's name for the ingest: any text of 1 to 4096 bytes.
            total: Size in bytes, checked at the commit.
            expected: Digest, checked at the commit.
            wait: Seconds to wait for another writer of the ref; True waits for ever.
            resume: Keep the bytes of an earlier try; what it declared still holds.
            metadata: Texts to store with the ingest, 16 KiB in all; see `Status.metadata`. On a
                resume None keeps the earlier metadata.
            redeclare: Let this ``total`` and ``expected`` replace those declared before.

        Raises:
            AlreadyExistsError: ``expected`` is stored; no ingest was made.
            RefLockedError: Another writer holds the ref.
            FailedPreconditionError: ``total`` or ``expected`` contradict what an earlier try
                declared.
        """
        takeover = Takeover.REPLACE if redeclare else Takeover.AGREE
        declared = declare(total, expected, metadata)
        return self.hold(ref, declared, takeover if resume else Takeover.ANEW, wait=wait)

    def hold(
        self, ref: str, declared: Declared, takeover: Takeover, *, wait: float | bool
    ) -> IngestWriter:
        """Do the work of `writer`, with declarations already checked; the server calls it too."""
        from contentdb.store.writer import IngestWriter  # a short command adds

        return IngestWriter(self._hold(ref, declared, takeover, wait=wait))

    def _hold(
        self, ref: str, declared: Declared, takeover: Takeover, *, wait: float | bool
    ) -> HeldIngest:
        check_ref(ref)
        from contentdb.store.wait_for_ref import wait_for_ref  # as above

        return wait_for_ref(self._engine, ref, declared, takeover, wait=wait)

    def ingest(  # noqa: PLR0913 - all but two have a default that fits most
        self,
        ref: str,
        source: Source | Openable,
        *,
        total: int | None = None,
        expected: str | None = None,
        labels: Mapping[str, str] | None = None,
        wait: float | bool = True,
        keep_labels: bool = False,
        metadata: Mapping[str, str] | None = None,
        progress: Progress | None = None,
    ) -> Info:
        """Store a whole source under a ref; durable when it returns, and may be repeated.

        It waits for the ref and resumes at the offset of an earlier try. With ``expected`` it
        seeks to that offset. Without it, or if the digest does not match in the end, it reads the
        source from its start and compares: bytes of other content are replaced, never mixed in.
        Content already stored is success; if ``expected`` is stored the source is not read.

        Args:
            ref: The caller's name for the ingest.
            source: A binary stream, read from its present position; or a function that returns a
                stream of the content from an offset on, such as by a Range request.
            total: Size in bytes; no more than that is read.
            expected: Digest.
            labels: Labels to set on the blob; one that is already stored keeps its other labels.
            wait: Seconds to wait for another writer of the ref; True waits for ever.
            keep_labels: Do not change the labels of a blob that is already stored.
            metadata: Texts to store with the ingest, 16 KiB in all. If they equal those of the
                earlier try, such as an ETag, a function is asked only for the rest of the
                content, also without ``expected``.
            progress: Called with the count of bytes stored and the total, or None if unknown.

        Raises:
            SizeMismatchError, DigestMismatchError: The source is not what was declared, or ended
                early; the ingest is kept, to be resumed, or dropped by `abort`.
            RefLockedError: Another writer held the ref during the whole wait.
            OSError: Raised by the source; the bytes before it are kept.
        """
        check_ref(ref)
        _check_progress(progress)
        declared = declare(total, expected, metadata)
        given = labelling(labels, keep_labels=keep_labels)
        from contentdb.streams.origin import origin_of
        from contentdb.streams.resume import take_in

        with closing(origin_of(source)) as origin:
            while True:
                try:
                    held = self._hold(ref, declared, Takeover.PREFER, wait=wait)
                except AlreadyExistsError as error:
                    if info := self._finish_stored(ref, Digest(error.digest), given):
                        return info
                    continue  # another process has deleted the blob since
                try:  # not `with`: an exception at the entry of __enter__ would leave it open
                    if not held.is_unsent:
                        compare = self._engine.begins_with
                        take_in(held, origin, declared, progress, begins_with=compare)
                    from contentdb.store.writer import IngestWriter  # as above

                    writer = IngestWriter(held)
                    return writer.commit(labels=given.new, keep_labels=keep_labels)
                finally:
                    held.close()

    def _finish_stored(self, ref: str, digest: Digest, labels: Labelling) -> Info | None:
        """Drop the ref's ingest, which is not needed, and label the blob; None if it is gone."""
        with suppress(NotFoundError, RefLockedError):
            if self._engine.status(ref).expected in {None, digest}:  # else it has other content
                self._engine.abort(ref)
        return self._engine.label_stored(digest, labels)

    def add(
        self,
        source: Buffer | Source | os.PathLike[str],
        *,
        expected: str | None = None,
        labels: Mapping[str, str] | None = None,
        link: Link = "copy",
        keep_labels: bool = False,
    ) -> Info:
        """Store content without a ref; durable when it returns, and may be repeated.

        Content already stored is success and costs no write; ``Info.new`` is False then.

        Args:
            source: Bytes, a binary stream, or the path of a regular file.
            expected: Digest; if it is stored, the source is not read.
            labels: Labels to set on the blob; each replaces the one with its key.
            link: How the file of a path becomes a blob. ``reflink`` shares its blocks;
                ``hardlink`` makes the file itself the blob, read-only from then on; ``move`` also
                removes its name. Each becomes a copy where the filesystem cannot.
            keep_labels: Do not change the labels of content already stored.

        Raises:
            DigestMismatchError: The content is not what was expected; nothing is stored.
            StorageError: The source or the disk failed; nothing is stored.
        """
        given = NO_LABELS if labels is None else labelling(labels, keep_labels=keep_labels)
        wanted = None if expected is None else Digest(expected)
        check_link(link)
        return self._engine.add(source, wanted, given, link)

    @overload
    def add_many(
        self,
        sources: Iterable[Buffer | Source | os.PathLike[str]],
        *,
        expected: Iterable[str | None] | None = None,
        labels: Mapping[str, str] | Iterable[Mapping[str, str] | None] | None = None,
        keep_labels: bool = False,
        errors: Literal["raise"] = "raise",
    ) -> AddIterator[Info]: ...
    @overload
    def add_many(
        self,
        sources: Iterable[Buffer | Source | os.PathLike[str]],
        *,
        expected: Iterable[str | None] | None = None,
        labels: Mapping[str, str] | Iterable[Mapping[str, str] | None] | None = None,
        keep_labels: bool = False,
        errors: Literal["yield"],
    ) -> AddIterator[Info | ContentDBError]: ...
    def add_many(
        self,
        sources: Iterable[Buffer | Source | os.PathLike[str]],
        *,
        expected: Iterable[str | None] | None = None,
        labels: Mapping[str, str] | Iterable[Mapping[str, str] | None] | None = None,
        keep_labels: bool = False,
        errors: Literal["raise", "yield"] = "raise",
    ) -> AddIterator[Any]:
        """Store many sources while the caller iterates, sharing the cost of durability.

        The iterator yields an `Info` for each source, in order, once its blob is durable. Memory
        is bounded, and a slow source does not delay the answers before it. Nothing is stored
        before the caller asks for the first answer. An iterator that is dropped before its end
        gives a `ResourceWarning`.

        Args:
            sources: Bytes, binary streams, or paths of regular files.
            expected: A digest, or None, for each source.
            labels: Labels to set on the blobs, as in `add`: one mapping for all sources, or a
                mapping, or None, for each.
            keep_labels: Do not change the labels of content already stored.
            errors: With ``"raise"`` the first bad source ends the iteration: those before it are
                stored and yielded, then its error is raised, with its place (``source_index``).
                With ``"yield"`` the error is yielded in place of its `Info`, and the others are
                stored.

        Raises:
            InvalidArgumentError: ``expected`` or ``labels`` has fewer or more items than
                ``sources``, or an argument is not iterable. The iterator raises it where a length
                is unknown before.
        """
        if errors not in {"raise", "yield"}:
            raise InvalidArgumentError(f"errors is raise or yield, not {errors!r}")
        asked = each_asked(sources, expected, labels, keep_labels=keep_labels)
        raising = errors == "raise"
        steps = self._engine.add_many(asked, keep_labels=keep_labels, raising=raising)
        return AddIterator(steps, sources, self._engine)

    def batch(self) -> AbstractContextManager[Self]:
        """Let this thread's adds and commits share the cost of durability.

        Content that is added or committed in the block is durable, and visible to readers, when
        the block ends, by an exception too. An inner block belongs to the outer one. An `Info`
        from within the block, with its ``new``, says what the end will do unless another process
        stores the content first; labels of content stored before are set at once. In a database
        only adds wait for the end, and the times of such an `Info` are those of its own moment.

        Raises:
            ContentDBError: The end of the block could not store something.
        """
        self._require(Capability.BATCHES, "batch")
        return self._yield_self(self._engine.batch())

    @contextmanager
    def _yield_self(self, block: AbstractContextManager[None]) -> Iterator[Self]:
        with block:
            yield self
