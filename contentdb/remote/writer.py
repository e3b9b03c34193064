"""One ingest on a server, held by a stream."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final, Self

import grpc

from contentdb.digest import Digest
from contentdb.errors import (
    AlreadyExistsError,
    ContentDBError,
    DigestMismatchError,
    FailedPreconditionError,
    SizeMismatchError,
    StoreError,
    WriterClosedError,
)
from contentdb.labels import check_labels
from contentdb.remote.believing import as_digest, as_info, as_status, nonsense
from contentdb.server import content_pb2 as wire

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from typing_extensions import Buffer

    from contentdb.content import Info, Status
    from contentdb.remote.channel import Channel, Stream

__all__ = ["RemoteWriter"]

_PIECE_BYTES: Final = 1024 * 1024
_PIECES_AHEAD: Final = 8
"""Sent and not answered yet, each of them copied."""


class RemoteWriter:
    """A `contentdb.content.Writer`. The server keeps the ingest when this process dies."""

    def __init__(
        self, channel: Channel, ref: str, *, total: int | None, expected: Digest | None
    ) -> None:
        """Begin or resume; `RefLockedError` when another stream holds the ref."""
        self.ref = ref
        self._channel = channel
        self._total = total
        self._expected = expected
        self._requests: SimpleQueue[wire.WriteContentRequest | None] = SimpleQueue()
        self._stream: Stream[wire.WriteContentResponse] = channel.write(
            iter(self._requests.get, None)
        )
        self.closed = False
        first = wire.WriteContentRequest(
            action=wire.STAT,
            ref=ref,
            total=total or 0,
            total_known=total is not None,
            expected=expected or "",
        )
        self._offset = 0
        try:
            answer = self._ask(first)
            self._take(answer, max(0, answer.offset))
        except BaseException:
            self.close()
            raise

    @property
    def offset(self) -> int:
        """Bytes that have reached the server's file."""
        return self._offset

    @property
    def digest(self) -> Digest:
        """The running digest, as of the server's last answer."""
        return self._digest

    def status(self) -> Status:
        """Ask the server how far the ingest is."""
        self._check_open()
        answer = self._ask(wire.WriteContentRequest(action=wire.STAT, ref=self.ref))
        self._take(answer, self._offset)
        said = wire.Status(
            ref=self.ref,
            offset=answer.offset,
            total=answer.total or self._total or 0,
            total_known=self._total is not None,
            expected=self._expected or "",
            started_at=answer.started_at,
            updated_at=answer.updated_at,
            held=True,
        )
        return as_status(said)

    def write(self, data: Buffer, /) -> int:
        """Send bytes and wait until the server has written them all."""
        self._check_open()
        view = memoryview(data).cast("B")
        begun = self._offset
        ends: deque[int] = deque()
        for at in range(0, len(view), _PIECE_BYTES):
            piece = bytes(view[at : at + _PIECE_BYTES])
            self._requests.put(
                wire.WriteContentRequest(
                    action=wire.WRITE, ref=self.ref, offset=begun + at, data=piece
                )
            )
            ends.append(begun + at + len(piece))
            if len(ends) == _PIECES_AHEAD:
                self._take(self._answer(), ends.popleft())
        for end in ends:
            self._take(self._answer(), end)
        return self._offset - begun

    def truncate(self) -> None:
        """Go back to offset 0, the ref still held."""
        self._check_open()
        request = wire.WriteContentRequest(action=wire.WRITE, ref=self.ref, offset=0)
        self._take(self._ask(request), 0)

    def commit(
        self,
        *,
        size: int | None = None,
        expected: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Info:
        """Make it a blob, durable when this returns. The ref is free whatever happens."""
        self._check_open()
        try:
            size = self._total if size is None else size
            expected = self._expected if expected is None else Digest(expected)
            if self._expected not in {None, expected}:
                raise FailedPreconditionError(
                    f"ref {self.ref} was begun for {self._expected}, not for {expected}"
                )
            if size is not None and size != self._offset:  # 0 would mean unknown on the wire
                raise SizeMismatchError(expected=size, actual=self._offset)
            request = wire.WriteContentRequest(
                action=wire.COMMIT,
                ref=self.ref,
                total=size or 0,
                total_known=size is not None,
                expected=expected or "",
                offset=self._offset,
                labels=check_labels(labels or {}),
            )
            digest = self._commit(request)
        finally:
            self.close()
        with self._channel.told(digest=digest):
            answer = self._channel.info(wire.InfoRequest(digest=digest))
        return as_info(answer.info, asked=digest)

    def _commit(self, request: wire.WriteContentRequest) -> Digest:
        try:
            digest = as_digest(self._ask(request).digest or self._digest)
        except AlreadyExistsError as error:
            raise AlreadyExistsError(error.digest or self._digest) from error
        except FailedPreconditionError as error:
            if type(error) is FailedPreconditionError and request.expected not in {
                "",
                self._digest,
            }:  # another server does not say what failed
                raise DigestMismatchError(expected=request.expected, actual=self._digest) from error
            raise
        if request.expected not in {"", digest}:
            raise nonsense(f"a commit of {digest} where {request.expected} was expected")
        return digest

    def close(self) -> None:
        """End the stream, and wait until the server has let go of the ref; twice is harmless."""
        if self.closed:
            return
        self.closed = True
        self._requests.put(None)
        with suppress(grpc.RpcError):
            for _ in self._stream:
                pass

    def __del__(self) -> None:
        """Let a forgotten writer hold no thread and no ref; the server keeps what it has."""
        if not getattr(self, "closed", True):
            self.closed = True
            self._requests.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _check_open(self) -> None:
        if self.closed:
            raise WriterClosedError(self.ref)

    def _ask(self, request: wire.WriteContentRequest) -> wire.WriteContentResponse:
        self._requests.put(request)
        return self._answer()

    def _answer(self) -> wire.WriteContentResponse:
        try:
            with self._channel.told(digest=self._expected or "", ref=self.ref):
                answer = next(self._stream, None)
        except ContentDBError:
            self.close()
            raise
        if answer is None:
            self.close()
            raise StoreError("remote store", f"the server ended the ingest of {self.ref}")
        return answer

    def _take(self, answer: wire.WriteContentResponse, offset: int) -> None:
        """Believe an answer that says what it must: fewer bytes would be a hole in the content."""
        try:
            if answer.offset != offset:
                raise nonsense(f"offset {answer.offset} where {offset} bytes were sent")
            self._digest = as_digest(answer.digest)
        except StoreError:
            self.close()
            raise
        self._offset = offset
