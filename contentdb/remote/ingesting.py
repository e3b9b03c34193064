"""Bytes in, over a connection: under a ref, resumable; or in one go."""

from __future__ import annotations

import os
import time
import uuid
from contextlib import closing, suppress
from os import PathLike
from typing import TYPE_CHECKING, Any, Final, Literal, overload

from contentdb import files
from contentdb.arguments import check_progress, contradiction, deadline_of
from contentdb.declared import Declared, Takeover, declare
from contentdb.digest import DEFAULT_ALGORITHM, Digest
from contentdb.errors import (
    AlreadyExistsError,
    ContentDBError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    RefLockedError,
    StoreClosedError,
)
from contentdb.labels import labelling
from contentdb.local.commit.add import check_digest
from contentdb.refs import check_ref
from contentdb.remote.active import Active
from contentdb.remote.believing import nonsense
from contentdb.remote.comparing import begins_with
from contentdb.remote.labelling import label_stored
from contentdb.remote.writer import RemoteWriter
from contentdb.store.add_many import AddIterator, each_asked
from contentdb.store.write import check_link
from contentdb.streams.pump import pump
from contentdb.streams.resume import take_in
from contentdb.streams.source import bytes_of, open_source, origin_of, reading, reading_file

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping

    from typing_extensions import Buffer

    from contentdb.asked import Asked
    from contentdb.content import Info, Link, Openable, Progress, Source
    from contentdb.labels import Labelling

__all__ = ["Ingesting"]

_RETRY_S: Final = 0.02


class Ingesting(Active):
    """Plays `contentdb.content.Ingester` over a connection."""

    # -- under a ref -------------------------------------------------------------------------

    def writer(
        self,
        ref: str,
        *,
        total: int | None = None,
        expected: str | None = None,
        wait: float | bool = False,
        resume: bool = False,
        metadata: Mapping[str, str] | None = None,
    ) -> RemoteWriter:
        """Begin the ingest of a ref, or resume it, and hold it until the writer is closed.

        Without ``resume`` nothing is left of an earlier try of the ref. The server itself waits
        half a second for a held ref. Metadata is kept by a contentdb server alone.
        """
        declared = declare(total, expected, metadata)
        takeover = Takeover.AGREE if resume else Takeover.ANEW
        return self._take_over(ref, declared, takeover, wait=wait)

    def _take_over(
        self, ref: str, declared: Declared, takeover: Takeover, *, wait: float | bool
    ) -> RemoteWriter:
        check_ref(ref)
        deadline = deadline_of(wait)
        if takeover is Takeover.AGREE and not self._channel.is_ours:
            declared = self._agreed(ref, declared)
        while True:
            try:
                return RemoteWriter(self._channel, ref, declared, takeover)
            except RefLockedError:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(_RETRY_S)

    def _agreed(self, ref: str, declared: Declared) -> Declared:
        """Complete what is declared by what was: a containerd would take a contradiction."""
        try:
            before = self.status(ref)
        except NotFoundError:
            return declared
        total, expected, _ = declared
        if None not in {before.total, total} and before.total != total:
            raise contradiction(ref, f"a total of {before.total} bytes, not {total}")
        if None not in {before.expected, expected} and before.expected != expected:
            raise contradiction(ref, f"content {before.expected}, not {expected}")
        total = before.total if total is None else total
        return declared._replace(total=total, expected=expected or before.expected)

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
        """Take a whole source in: wait, resume, verify, commit. Already stored is success.

        What an earlier try left is gone on with if it is of the same content, and no other; see
        `contentdb.Store.ingest`. A source that can be read twice is compared by the digest of its
        beginning, any other one is sent for it. A containerd cannot compare: unless a digest tells,
        it gets all of the source.
        """
        check_ref(ref)
        check_progress(progress)
        declared = declare(total, expected, metadata)
        given = labelling(labels, keep_labels=keep_labels)
        with closing(origin_of(source)) as origin:
            while True:
                try:
                    writer = self._take_over(ref, declared, Takeover.PREFER, wait=wait)
                except AlreadyExistsError as error:
                    with suppress(NotFoundError):  # it was deleted again in this very moment
                        return self._stored_meanwhile(ref, declared.expected, error, given)
                    continue
                try:  # not `with`: raised at the entry of __enter__, it would leave it open
                    if not writer.is_unsent:
                        take_in(writer, origin, declared, progress, begins_with=begins_with)
                    return writer.commit(labels=labels, keep_labels=keep_labels)
                finally:
                    writer.close()

    def _stored_meanwhile(
        self, ref: str, expected: Digest | None, error: AlreadyExistsError, given: Labelling
    ) -> Info:
        """The content came in by another way: what this ref had of it is of no use."""
        digest = Digest(error.digest)
        if expected not in {None, digest}:
            raise nonsense(f"{digest} where {expected} was expected") from error
        with suppress(NotFoundError, RefLockedError):
            if self.status(ref).expected in {None, digest}:  # else it is of something else
                self.abort(ref)
        return label_stored(self._channel, digest, given.stored)

    # -- in one go ---------------------------------------------------------------------------

    def add(
        self,
        source: Buffer | Source | PathLike[str],
        *,
        expected: str | None = None,
        labels: Mapping[str, str] | None = None,
        link: Link = "copy",
        keep_labels: bool = False,
    ) -> Info:
        """Store content without a ref, whether it was there already or not; `Info.new` tells.

        A ``reflink`` or a ``hardlink`` becomes a copy; ``move`` is refused.
        """
        given = labelling(labels, keep_labels=keep_labels)
        wanted = None if expected is None else Digest(expected)
        check_link(link)
        if link == "move":
            raise FailedPreconditionError(f"a move does not reach {self.address}: use copy")
        return self._add(source, wanted, given)

    def _add(self, source: object, wanted: Digest | None, given: Labelling) -> Info:
        view = bytes_of(source)
        if view is not None:
            digest = Digest.of(view, wanted.algorithm if wanted else DEFAULT_ALGORITHM)
            check_digest(digest, wanted)
            return self._send(lambda writer: writer.write(view), digest, given)
        if not isinstance(source, PathLike):
            fill = reading(source)
            return self._send(lambda writer: pump(fill, writer), wanted, given)
        fd = open_source(source)
        try:
            fill = reading_file(fd, os.fspath(source))
            return self._send(lambda writer: pump(fill, writer), wanted, given)
        finally:
            files.let_go(fd)

    def _send(
        self, send: Callable[[RemoteWriter], object], wanted: Digest | None, given: Labelling
    ) -> Info:
        """Store content under a ref of its own, of which nothing is left."""
        ref = f"add-{uuid.uuid4()}"
        writer = None
        try:
            writer = self._take_over(ref, Declared(None, wanted, None), Takeover.PREFER, wait=0)
            if not writer.offset:  # else another namespace has it
                send(writer)
            info = writer.commit(labels=given.new, keep_labels=not given.stored)
            writer.close()
        except AlreadyExistsError as error:
            if writer is not None:
                writer.close()
            if wanted not in {None, error.digest}:
                raise nonsense(f"{error.digest} where {wanted} was expected") from error
            return label_stored(self._channel, Digest(error.digest), given.stored)
        except BaseException:
            self._forget(ref, writer)
            raise
        return info

    def _forget(self, ref: str, writer: RemoteWriter | None) -> None:
        if writer is not None:
            writer.close()
        with suppress(ContentDBError):  # the first error is the one to tell
            self.abort(ref)

    @overload
    def add_many(
        self,
        sources: Iterable[Buffer | Source | PathLike[str]],
        *,
        expected: Iterable[str | None] | None = None,
        labels: Mapping[str, str] | Iterable[Mapping[str, str] | None] | None = None,
        keep_labels: bool = False,
        errors: Literal["raise"] = "raise",
    ) -> AddIterator[Info]: ...
    @overload
    def add_many(
        self,
        sources: Iterable[Buffer | Source | PathLike[str]],
        *,
        expected: Iterable[str | None] | None = None,
        labels: Mapping[str, str] | Iterable[Mapping[str, str] | None] | None = None,
        keep_labels: bool = False,
        errors: Literal["yield"],
    ) -> AddIterator[Info | ContentDBError]: ...
    def add_many(
        self,
        sources: Iterable[Buffer | Source | PathLike[str]],
        *,
        expected: Iterable[str | None] | None = None,
        labels: Mapping[str, str] | Iterable[Mapping[str, str] | None] | None = None,
        keep_labels: bool = False,
        errors: Literal["raise", "yield"] = "raise",
    ) -> AddIterator[Any]:
        """Store one after the other as they are iterated; each is durable when it is yielded.

        The first bad source raises; with ``errors="yield"`` its error comes in its place.
        """
        if errors not in {"raise", "yield"}:
            raise InvalidArgumentError(f"errors is raise or yield, not {errors!r}")
        asked = each_asked(sources, expected, labels, keep_labels=keep_labels)
        steps = self._each(asked, keep_labels=keep_labels, raising=errors == "raise")
        return AddIterator(steps, sources)

    def _each(
        self, asked: Iterator[Asked], *, keep_labels: bool, raising: bool
    ) -> Generator[Info | ContentDBError]:
        for one in asked:
            answer = self._answer(one, keep_labels=keep_labels, as_value=not raising)
            if raising and isinstance(answer, ContentDBError):
                raise answer.at_source(one.number, one.describe()) from answer
            yield answer

    def _answer(self, one: Asked, *, keep_labels: bool, as_value: bool) -> Info | ContentDBError:
        try:
            wanted = None if one.expected is None else Digest(one.expected)
            return self._add(one.source, wanted, one.labelling(keep_labels=keep_labels))
        except StoreClosedError:
            raise
        except Exception as error:  # noqa: BLE001 - what is not of the source is raised again
            return one.answer_of(error, as_value=as_value)
