"""Stores content over a connection: as an ingest under a ref, or in one call."""

from __future__ import annotations

import os
import time
import uuid
from os import PathLike
from typing import TYPE_CHECKING, Final, NoReturn

from contentdb import files
from contentdb.declared import Declared, Takeover, check_digest
from contentdb.digest import DEFAULT_ALGORITHM, Digest
from contentdb.errors import (
    AlreadyExistsError,
    ContentDBError,
    FailedPreconditionError,
    NotFoundError,
    ReentrantCallError,
    RefLockedError,
    StoreClosedError,
    UnsafeForkError,
)
from contentdb.logs import swallow
from contentdb.remote.believing import nonsense
from contentdb.remote.comparing import begins_with
from contentdb.remote.held import RemoteIngest
from contentdb.remote.ingests import Ingests
from contentdb.remote.labelling import label_stored
from contentdb.streams.pump import pump
from contentdb.streams.source import bytes_of, open_source, reading, reading_file

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from contentdb.asked import Asked
    from contentdb.content import Info, Link
    from contentdb.labels import Labelling

__all__ = ["Write"]

_LEFT_AT_SERVER: Final = "an ingest of a call that failed was left at the server; abort the ref"

_RETRY_S: Final = 0.02


class Write(Ingests):
    """The engine's part of `contentdb.content.Ingester`, over a connection."""

    begins_with = staticmethod(begins_with)

    # -- under a ref -------------------------------------------------------------------------

    def hold(
        self, ref: str, declared: Declared, takeover: Takeover, *, wait_s: float
    ) -> RemoteIngest:
        """Begin or take over an ingest. At a held ref the server itself waits for half a second."""
        if takeover is Takeover.AGREE and not self._channel.is_ours:
            declared = self._merge_declared(ref, declared)
        try:
            return RemoteIngest(self._channel, ref, declared, takeover)
        except RefLockedError:
            time.sleep(min(_RETRY_S, wait_s))  # the server itself has waited
            raise
        except AlreadyExistsError as error:
            if declared.expected not in {None, error.digest}:
                raise nonsense(f"{error.digest} where {declared.expected} was expected") from error
            raise

    def _merge_declared(self, ref: str, declared: Declared) -> Declared:
        """Merge with what was declared before; refuse contradictions: a containerd accepts them."""
        try:
            before = self.status(ref)
        except NotFoundError:
            return declared
        return Declared(before.total, before.expected, None).merged(ref, declared)

    # -- in one go ---------------------------------------------------------------------------

    def add(self, source: object, expected: Digest | None, labels: Labelling, link: Link) -> Info:
        """Store one source under a new ref; a reflink or a hard link becomes a copy."""
        if link == "move":
            raise FailedPreconditionError(f"a move does not reach {self.place}: use copy")
        return self._add(source, expected, labels)

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
        self, send: Callable[[RemoteIngest], object], wanted: Digest | None, given: Labelling
    ) -> Info:
        """Store content under a new ref, and remove the ingest on failure."""
        ref = f"add-{uuid.uuid4()}"
        writer = None
        try:
            writer = self.hold(ref, Declared(None, wanted, None), Takeover.PREFER, wait_s=0)
            if not writer.offset:  # else another namespace has the content
                send(writer)
            info = writer.commit(wanted, given, exist_ok=True)
            writer.close()
        except AlreadyExistsError as error:
            if writer is not None:
                writer.close()
            if wanted not in {None, error.digest}:
                raise nonsense(f"{error.digest} where {wanted} was expected") from error
            return label_stored(self._channel, Digest(error.digest), given.stored)
        except BaseException:
            self._drop(ref, writer)
            raise
        return info

    def _drop(self, ref: str, writer: RemoteIngest | None) -> None:
        if writer is not None:
            writer.close()
        with swallow("remote", _LEFT_AT_SERVER, ContentDBError, ref=ref):
            self.abort(ref)

    def add_many(
        self, asked: Iterator[Asked], *, keep_labels: bool, raising: bool
    ) -> Generator[Info | ContentDBError]:
        """Store sources one by one, as the caller iterates; each is durable when it is yielded."""
        for one in asked:
            answer = self._add_one(one, keep_labels=keep_labels, as_value=not raising)
            if raising and isinstance(answer, ContentDBError):
                raise answer.at_source(one.number, one.describe()) from answer
            yield answer

    def _add_one(self, one: Asked, *, keep_labels: bool, as_value: bool) -> Info | ContentDBError:
        try:
            wanted = None if one.expected is None else Digest(one.expected)
            return self._add(one.source, wanted, one.labelling(keep_labels=keep_labels))
        except (StoreClosedError, ReentrantCallError, UnsafeForkError):
            raise
        except Exception as error:  # noqa: BLE001 - it re-raises what is not the source's
            return one.answer_of(error, as_value=as_value)

    def batch(self) -> NoReturn:
        """Refuse: the front asks for the capability first."""
        raise FailedPreconditionError(f"{self.place} takes no batches")
