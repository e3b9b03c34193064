"""One ingest on a server, held by a stream."""

from __future__ import annotations

from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final, Self

import grpc

from contentdb.content import Info, Status
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
from contentdb.remote.answers import told
from contentdb.remote.believing import as_info
from contentdb.server import content_pb2 as wire
from contentdb.server.messages import to_ns

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from typing_extensions import Buffer

    from contentdb.remote.channel import Channel, Stream

__all__ = ["RemoteWriter"]

_PIECE_BYTES: Final = 1024 * 1024


class RemoteWriter:
    """A `contentdb.content.Writer`. The server keeps the ingest when this process dies."""

    def __init__(
        self, channel: Channel, ref: str, *, total: int | None, expected: Digest | None
    ) -> None:
        """Begin or resume; `RefLockedError` when another stream holds the ref."""
        self.ref = ref
        self.closed = False
        self._channel = channel
        self._total = total
        self._expected = expected
        self._requests: SimpleQueue[wire.WriteContentRequest | None] = SimpleQueue()
        self._stream: Stream[wire.WriteContentResponse] = channel.write(
            iter(self._requests.get, None)
        )
        first = wire.WriteContentRequest(
            action=wire.STAT,
            ref=ref,
            total=total or 0,
            total_known=total is not None,
            expected=expected or "",
        )
        self._take(self._ask(first))

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
        self._take(answer)
        return Status(
            self.ref,
            answer.offset,
            self._total if answer.total == 0 else answer.total,
            self._expected,
            to_ns(answer.started_at),
            to_ns(answer.updated_at),
            held=True,
        )

    def write(self, data: Buffer, /) -> int:
        """Send bytes and wait until the server has written them all."""
        self._check_open()
        view = memoryview(data).cast("B")
        begun = self._offset
        pieces = range(0, len(view), _PIECE_BYTES)
        for at in pieces:
            self._requests.put(
                wire.WriteContentRequest(
                    action=wire.WRITE,
                    ref=self.ref,
                    offset=begun + at,
                    data=bytes(view[at : at + _PIECE_BYTES]),
                )
            )
        for _ in pieces:
            self._take(self._answer())
        return self._offset - begun

    def truncate(self) -> None:
        """Go back to offset 0, the ref still held."""
        self._check_open()
        self._take(self._ask(wire.WriteContentRequest(action=wire.WRITE, ref=self.ref, offset=0)))

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
        with told(digest=digest):
            answer = self._channel.info(wire.InfoRequest(digest=digest))
        return as_info(answer.info, asked=digest)

    def _commit(self, request: wire.WriteContentRequest) -> str:
        try:
            return self._ask(request).digest or self._digest
        except AlreadyExistsError as error:
            raise AlreadyExistsError(error.digest or self._digest) from error
        except FailedPreconditionError as error:
            if type(error) is FailedPreconditionError and request.expected not in {
                "",
                self._digest,
            }:  # another server does not say what failed
                raise DigestMismatchError(expected=request.expected, actual=self._digest) from error
            raise

    def close(self) -> None:
        """End the stream, and wait until the server has let go of the ref; twice is harmless."""
        if self.closed:
            return
        self.closed = True
        self._requests.put(None)
        with suppress(grpc.RpcError):
            for _ in self._stream:
                pass

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
            with told(digest=self._expected or "", ref=self.ref):
                answer = next(self._stream, None)
        except ContentDBError:
            self.close()
            raise
        if answer is None:
            self.close()
            raise StoreError("remote store", f"the server ended the ingest of {self.ref}")
        return answer

    def _take(self, answer: wire.WriteContentResponse) -> None:
        self._offset = answer.offset
        self._digest = Digest(answer.digest)
