"""Writes one ingest on a server; the rpc's stream holds the ref."""

# Long: one class has the requests and answers of one stream, whose order matters.

from __future__ import annotations

from collections import deque
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

import grpc

from contentdb.declared import Declared, Takeover
from contentdb.digest import Digest
from contentdb.errors import (
    AlreadyExistsError,
    ContentDBError,
    DigestMismatchError,
    FailedPreconditionError,
    StoreError,
    WriterClosedError,
)
from contentdb.metadata import NO_METADATA, unpack_metadata
from contentdb.remote.believing import as_digest, as_status, nonsense
from contentdb.remote.comparing import Comparison, Nothing
from contentdb.remote.labelling import info_of_new, label_stored
from contentdb.streams.pump import PIECE_BYTES
from contentdb.wire import content_pb2 as wire

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from contentdb.content import Info, Status
    from contentdb.labels import Labelling
    from contentdb.remote.calling import Stream
    from contentdb.remote.channel import Channel

__all__ = ["RemoteIngest"]

_PIECES_AHEAD: Final = 8
"""How many pieces may be sent and not answered yet; each is a copy in memory."""
_TAKEOVERS: Final = {
    Takeover.AGREE: wire.AGREE,
    Takeover.PREFER: wire.PREFER,
    Takeover.REPLACE: wire.REPLACE,
    Takeover.ANEW: wire.ANEW,
}


class RemoteIngest:
    """A `contentdb.engine.HeldIngest`. The server keeps the ingest if this process dies."""

    def __init__(self, channel: Channel, ref: str, declared: Declared, takeover: Takeover) -> None:
        """Take the ref over; raise `RefLockedError` if another stream holds it."""
        self.ref = ref
        self._channel = channel
        self.declared = declared
        self._requests: SimpleQueue[wire.WriteContentRequest | None] = SimpleQueue()
        self._stream: Stream[wire.WriteContentResponse]
        try:
            self._stream = channel.write(iter(self._requests.get, None))
        except BaseException:  # else gRPC's thread would wait for requests for ever
            self._requests.put(None)
            raise
        self._closed = False
        self._offset = 0
        try:
            answer = self._ask(self._make_declaration(wire.STAT, takeover))
            self._accept(answer, max(0, answer.offset))
            channel.note_kind(answer)
            self.is_unsent = answer.unsent
            """Whether another namespace has the content, so that only a commit is left to send."""
            if channel.is_ours:
                self._note_declared(as_status(answer.status, asked=ref))
            else:
                self._adapt_to_containerd(takeover)
        except BaseException:
            self.close()
            raise

    def _make_declaration(
        self, action: wire.WriteAction.ValueType, takeover: Takeover | None = None
    ) -> wire.WriteContentRequest:
        total, expected, metadata = self.declared
        return wire.WriteContentRequest(
            action=action,
            ref=self.ref,
            total=total or 0,
            total_known=total is not None,
            expected=expected or "",
            metadata=unpack_metadata(metadata),
            metadata_known=metadata is not None,
            takeover=wire.REPLACE if takeover is None else _TAKEOVERS[takeover],
        )

    def _note_declared(self, status: Status) -> None:
        """Note the total and digest that the server has for the ingest, declared now or before."""
        self.declared = Declared(status.total, status.expected, None)

    def _adapt_to_containerd(self, takeover: Takeover) -> None:
        """Do here what a containerd does not do for a takeover, or refuse it."""
        if self.declared.metadata not in {None, NO_METADATA}:
            raise FailedPreconditionError(
                f"ref {self.ref!r:.80} is on a server that is no contentdb: it keeps no metadata "
                "with an ingest; leave the metadata out"
            )
        if takeover is Takeover.ANEW and self._offset:
            self.restart()

    # -- what it is --------------------------------------------------------------------------

    @property
    def offset(self) -> int:
        """Bytes of the ingest that have reached the server's file."""
        return self._offset

    @property
    def digest(self) -> Digest:
        """The running digest, as of the server's last answer."""
        self.check_open()
        return self._digest

    @property
    def closed(self) -> bool:
        """Whether the writer was closed, committed or interrupted, or its stream has ended."""
        return self._closed

    def status(self) -> Status:
        """Return the ingest's Status, as the server reports it now."""
        self.check_open()
        answer = self._ask(wire.WriteContentRequest(action=wire.STAT, ref=self.ref))
        self._accept(answer, self._offset)
        if self._channel.is_ours:
            return as_status(answer.status, asked=self.ref)
        total, expected, _ = self.declared
        said = wire.Status(
            ref=self.ref,
            offset=answer.offset,
            total=answer.total or total or 0,
            total_known=total is not None,
            expected=expected or "",
            started_at=answer.started_at,
            updated_at=answer.updated_at,
            held=True,
        )
        return as_status(said)

    # -- bytes in ----------------------------------------------------------------------------

    def write(self, data: Buffer) -> int:
        """Send bytes and wait until the server has written them all.

        Any exception in it, a signal handler's too, closes the writer. Open the ref again to
        learn how many bytes the server has.
        """
        self.check_open()
        try:
            return self._send(memoryview(data).cast("B"))
        except BaseException:
            self.close()
            raise

    def _send(self, view: memoryview) -> int:
        begun = self._offset
        ends: deque[int] = deque()
        for at in range(0, len(view), PIECE_BYTES):
            piece = bytes(view[at : at + PIECE_BYTES])
            self._requests.put(
                wire.WriteContentRequest(
                    action=wire.WRITE, ref=self.ref, offset=begun + at, data=piece
                )
            )
            ends.append(begun + at + len(piece))
            if len(ends) == _PIECES_AHEAD:
                self._accept(self._answer(), ends.popleft())
        for end in ends:
            self._accept(self._answer(), end)
        return self._offset - begun

    def feed(self, data: Buffer) -> None:
        """Send bytes like `write`; the caller may reuse the buffer on return."""
        self.write(data)

    def settle(self, *, pending: int = 0) -> None:
        """Return at once: `feed` leaves no buffer in use."""

    def restart(self) -> None:
        """Let the server remove all bytes, the ref still held."""
        self.check_open()
        request = wire.WriteContentRequest(action=wire.WRITE, ref=self.ref, offset=0)
        try:
            self._accept(self._ask(request), 0)
        except BaseException:  # as in `write`
            self.close()
            raise

    def redeclare(self, declared: Declared) -> None:
        """Replace the declared size and digest, and the metadata if it is given."""
        self.check_open()
        self.declared = declared
        if self._channel.is_ours:
            answer = self._ask(self._make_declaration(wire.DECLARE))
            self._accept(answer, self._offset)

    def comparison(self) -> Comparison | Nothing:
        """Begin to compare a source with the bytes that the ingest has."""
        if self._channel.is_ours:
            return Comparison(self._ask, self.ref, self._offset, self._keep_same)
        return Nothing(self._offset, self.restart)

    def _keep_same(self, size: int) -> None:
        answer = self._ask(wire.WriteContentRequest(action=wire.KEEP_SAME, ref=self.ref))
        self._accept(answer, size)

    # -- the end -----------------------------------------------------------------------------

    def commit(self, wanted: Digest | None, labels: Labelling, *, exist_ok: bool) -> Info:
        """Let the server publish the bytes, durable on return. The ref is free whatever happens."""
        self.check_open()
        request = wire.WriteContentRequest(
            action=wire.COMMIT,
            ref=self.ref,
            total=self._offset,
            total_known=True,
            expected=wanted or "",
            offset=self._offset,
            labels=labels.new,
        )
        try:
            digest = self._commit(request)
        except AlreadyExistsError as error:
            if not exist_ok:
                raise
            return label_stored(self._channel, Digest(error.digest), labels.stored)
        finally:
            self.close()
        info = info_of_new(self._channel, digest)
        if info.size != self._offset:
            raise nonsense(f"{info.size} bytes of {digest} where {self._offset} were committed")
        return info

    def _commit(self, request: wire.WriteContentRequest) -> Digest:
        running = self._digest
        try:
            digest = as_digest(self._ask(request).digest or running)
        except AlreadyExistsError as error:
            raise AlreadyExistsError(error.digest or running) from error
        except FailedPreconditionError as error:
            if type(error) is FailedPreconditionError and request.expected not in {"", running}:
                # a server other than contentdb's does not say what failed
                raise DigestMismatchError(
                    expected=request.expected, actual=running, ref=self.ref
                ) from error
            raise
        if request.expected not in {"", digest}:
            raise nonsense(f"a commit of {digest} where {request.expected} was expected")
        return digest

    def close(self) -> None:
        """End the stream and wait until the server has freed the ref; twice is harmless.

        Do nothing in the child of a fork: the stream is the parent's.
        """
        if self._closed or self._channel.is_parents:
            return
        self._channel.check()
        self._requests.put(None)  # first: an exception after it must not leave the stream open
        self._closed = True
        with suppress(grpc.RpcError, StoreError):  # the caller has had this error already
            for _ in self._stream:
                pass

    def __del__(self) -> None:
        """End a forgotten writer's thread and free its ref; the server keeps the bytes."""
        if not getattr(self, "_closed", True) and not self._channel.is_parents:
            self._closed = True
            self._requests.put(None)

    def check_open(self) -> None:
        """Raise `WriterClosedError` if it is closed."""
        self._channel.check()
        if self._closed:
            raise WriterClosedError(self.ref)

    # -- the wire ------------------------------------------------------------------------------

    def _ask(self, request: wire.WriteContentRequest) -> wire.WriteContentResponse:
        try:
            self._requests.put(request)
            return self._answer()
        except BaseException:  # or the next call would take this one's answer for its own
            self.close()
            raise

    def _answer(self) -> wire.WriteContentResponse:
        try:
            with self._channel.translate_errors(digest=self.declared.expected or "", ref=self.ref):
                answer = next(self._stream, None)
        except ContentDBError:
            self.close()
            raise
        if answer is None:
            self.close()
            raise StoreError("remote store", f"the server ended the ingest of {self.ref}")
        return answer

    def _accept(self, answer: wire.WriteContentResponse, offset: int) -> None:
        """Check an answer's offset: a wrong one would leave a hole in the content."""
        try:
            if answer.offset != offset:
                raise nonsense(f"offset {answer.offset} where {offset} bytes were sent")
            self._digest = as_digest(answer.digest)
        except StoreError:
            self.close()
            raise
        self._offset = offset
