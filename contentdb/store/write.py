"""Bytes in: under a ref, resumable; or in one go."""

from __future__ import annotations

import time
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, Literal, Self, overload

from contentdb.arguments import check_progress, deadline_of
from contentdb.declared import Takeover, declare
from contentdb.digest import Digest
from contentdb.engine import Capability
from contentdb.errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    NotFoundError,
    RefLockedError,
)
from contentdb.labels import labelling
from contentdb.refs import check_ref
from contentdb.store.add_many import AddIterator, each_asked
from contentdb.store.front import Front
from contentdb.streams.resume import take_in
from contentdb.streams.source import origin_of

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from typing_extensions import Buffer

    from contentdb.content import Info, Link, Openable, Progress, Source, Writer
    from contentdb.declared import Declared
    from contentdb.engine import HeldIngest
    from contentdb.errors import ContentDBError
    from contentdb.labels import Labelling

__all__ = ["Write", "check_link"]

_LINKS: Final = ("reflink", "hardlink", "copy", "move")


def check_link(link: object) -> None:
    """Raise `InvalidArgumentError` unless there is such a way in."""
    if link not in _LINKS:
        raise InvalidArgumentError(f"link is one of {', '.join(_LINKS)}, not {link!r}")


class Write(Front):
    """Plays `contentdb.content.Ingester`."""

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
        return self.hold(ref, declared, takeover if resume else Takeover.ANEW, wait=wait)

    def hold(
        self, ref: str, declared: Declared, takeover: Takeover, *, wait: float | bool
    ) -> HeldIngest:
        """Do the work of `writer`; for the server."""
        check_ref(ref)
        wait_s = deadline_of(wait) - time.monotonic()
        return self._engine.hold(ref, declared, takeover, wait_s=max(0.0, wait_s))

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
        check_progress(progress)
        declared = declare(total, expected, metadata)
        given = labelling(labels, keep_labels=keep_labels)
        with closing(origin_of(source)) as origin:
            while True:
                try:
                    writer = self.hold(ref, declared, Takeover.PREFER, wait=wait)
                except AlreadyExistsError as error:
                    if info := self._stored_meanwhile(ref, Digest(error.digest), given):
                        return info
                    continue  # it was deleted again in this very moment
                try:  # not `with`: raised at the entry of __enter__, it would leave it open
                    if not writer.is_unsent:
                        compare = self._engine.begins_with
                        take_in(writer, origin, declared, progress, begins_with=compare)
                    return writer.commit(labels=given.new, keep_labels=keep_labels)
                finally:
                    writer.close()

    def _stored_meanwhile(self, ref: str, digest: Digest, labels: Labelling) -> Info | None:
        """The content is there without this ref, whose part of it is of no use; else None."""
        with suppress(NotFoundError, RefLockedError):
            if self._engine.status(ref).expected in {None, digest}:  # else it is of other content
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

        Content that is stored already is success, and costs no write; ``Info.new`` tells which
        it was.

        Args:
            source: Bytes, a binary stream, or the path of a regular file.
            expected: Digest; when it is stored, the source is not read.
            labels: Set on the blob, each in place of the one of its name.
            link: How a path's bytes get in. ``reflink`` shares its blocks; ``hardlink`` makes the
                file itself the blob, read-only from then on; ``move`` also takes its name
                away. Each becomes a copy where the filesystem cannot.
            keep_labels: Leave the labels of content that is stored already as they are.

        Raises:
            DigestMismatchError: The content is not what was expected; nothing is stored.
            StorageError: The source or the disk failed; nothing is stored.
        """
        given = labelling(labels, keep_labels=keep_labels)
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
        """Store many sources as they are iterated, sharing the cost of durability.

        An `Info` comes for each source, in order, durable when it is yielded. Memory is
        bounded, and a slow source does not hold back those before it. Nothing is stored before
        the first answer is asked for; a `ResourceWarning` tells of an iterator that was dropped
        before its end.

        Args:
            sources: Bytes, binary streams, or paths of regular files.
            expected: As many digests, or None, each for its source.
            labels: Set on the blobs, as by `add`: a mapping for all, or as many mappings, or
                None, each for its source.
            keep_labels: Leave the labels of content that is stored already as they are.
            errors: With ``"raise"`` the first bad source ends it: those before it are stored and
                yielded, then its error is raised, naming its place (``source_index``). With
                ``"yield"`` the error comes in the place of its `Info` and spoils no other.

        Raises:
            InvalidArgumentError: ``expected`` or ``labels`` has fewer or more items than
                ``sources``, or something is no list; from the iterator, where that shows there.
        """
        if errors not in {"raise", "yield"}:
            raise InvalidArgumentError(f"errors is raise or yield, not {errors!r}")
        asked = each_asked(sources, expected, labels, keep_labels=keep_labels)
        raising = errors == "raise"
        steps = self._engine.add_many(asked, keep_labels=keep_labels, raising=raising)
        return AddIterator(steps, sources)

    def batch(self) -> AbstractContextManager[Self]:
        """Let this thread's adds and commits share the cost of durability.

        What is added or committed in the block is durable, and seen by readers, once the block
        is left; by an error too. A block within a block belongs to the outer one. An `Info` in the
        block, its ``new`` too, says what will be unless another process is faster; labels for
        content that was stored before are set at once.

        Raises:
            ContentDBError: At the end, what kept something from being stored.
        """
        self._require(Capability.BATCHES, "batch")
        return self._inside(self._engine.batch())

    @contextmanager
    def _inside(self, block: AbstractContextManager[None]) -> Iterator[Self]:
        with block:
            yield self
