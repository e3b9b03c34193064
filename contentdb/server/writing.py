"""The rpc Write: each stream holds one ingest, from its first message to its last.

The server answers each request once. If a stream ends without a commit, for whatever reason, the
server keeps the ingest, and the next stream with its ref resumes it. The server frees the ref
before the client learns that the stream has ended.
"""

from __future__ import annotations

from contextlib import closing, suppress
from itertools import chain
from typing import TYPE_CHECKING, Final

import grpc

from contentdb.declared import Takeover, declare
from contentdb.errors import AlreadyExistsError, NotFoundError, RefLockedError, SizeMismatchError
from contentdb.metadata import pack_metadata
from contentdb.wire import content_pb2 as wire
from contentdb.wire.happenings_pb2 import ContentCreate
from contentdb.wire.messages import digest_or_none, from_status, set_time, to_labels
from contentdb.wire.statuses import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Buffer

    from contentdb.digest import Digest
    from contentdb.server.context import CallContext
    from contentdb.store import Store
    from contentdb.streams.pump import Comparing
    from contentdb.wire.framing import WriteRequest

__all__ = ["write"]

_TAKEOVERS: Final = {
    wire.REPLACE: Takeover.REPLACE,
    wire.AGREE: Takeover.AGREE,
    wire.PREFER: Takeover.PREFER,
    wire.ANEW: Takeover.ANEW,
}

_LOCK_WAIT_S: Final = 0.5
"""How long a stream waits for a held ref. Clients retry by themselves."""


def write(
    call: CallContext, store: Store, requests: Iterator[WriteRequest]
) -> Iterator[wire.WriteContentResponse]:
    """Answer the requests of a client's stream until it commits or ends."""
    first = next(requests, None)
    if first is None:
        return
    if not first.fields.ref:
        raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, "first message must have a reference")
    with closing(_Ingest(store, first.fields)) as ingest:
        for request in chain((first,), requests):
            answer = ingest.answer(request, named_now=request is not first)
            if request.fields.action != wire.COMMIT:
                yield answer
                continue
            event = ContentCreate(digest=answer.digest, size=answer.offset)
            call.events.publish(store.namespace, "/content/create", event)
            yield answer
            return


class _Ingest:
    """The ingest of one stream, and the size and digest that its client has declared so far."""

    def __init__(self, store: Store, first: wire.WriteContentRequest) -> None:
        self._store = store
        self._ref = first.ref
        self._total = _total_of(first)
        self._expected = first.expected
        self._declared = (self._total, digest_or_none(self._expected))
        self._comparison: Comparing | None = None
        self._writer = store.hold(
            self._ref,
            declare(*self._declared, _metadata_of(first)),
            _TAKEOVERS.get(first.takeover, Takeover.REPLACE),
            wait=_LOCK_WAIT_S,
        )

    def close(self) -> None:
        """Free the ref; an ingest that was not committed stays."""
        self._writer.close()

    def answer(self, asked: WriteRequest, *, named_now: bool) -> wire.WriteContentResponse:
        """Carry out one request; ``named_now`` unless `_Ingest` was opened with its digest."""
        request = asked.fields
        self._note_declared(request, named_now=named_now)
        response = wire.WriteContentResponse(action=request.action)
        if request.action == wire.COMPARE:
            self._compare(asked.data, response)
            return response
        if request.action == wire.KEEP_SAME and self._comparison is not None:
            self._comparison.end()
        if request.action not in {wire.STAT, wire.DECLARE}:
            self._comparison = None
        if request.action in {wire.STAT, wire.DECLARE, wire.KEEP_SAME}:
            self._describe(response)
        elif request.action in {wire.WRITE, wire.COMMIT}:
            self._write(request.offset, asked.data)
            response.digest = self._writer.digest
            response.offset = self._writer.offset
            if request.action == wire.COMMIT:
                response.digest = self._commit(request)
        else:
            raise Refusal(
                grpc.StatusCode.INVALID_ARGUMENT, f"unknown write action {request.action}"
            )
        return response

    def _note_declared(self, request: wire.WriteContentRequest, *, named_now: bool) -> None:
        """Note a request's total and digest. In containerd's protocol the commit checks them."""
        total = _total_of(request)
        if request.action == wire.DECLARE:
            self._total, self._expected = total, request.expected
            self._declared = (total, digest_or_none(request.expected))
            metadata = pack_metadata(_metadata_of(request))
            self._writer.redeclare(total=total, expected=self._declared[1], metadata=metadata)
            return
        if total is not None:
            self._total = total
        if request.expected:
            self._expected = request.expected
            if named_now:
                self._refuse_stored(request.expected)

    def _compare(self, data: Buffer, response: wire.WriteContentResponse) -> None:
        """Compare the next bytes of a source; answer with size and digest of the equal ones."""
        if self._comparison is None:
            self._comparison = self._writer.comparison()
        self._comparison.compare(data)
        response.offset = self._comparison.size
        response.digest = self._comparison.digest

    def _refuse_stored(self, expected: str) -> None:
        digest = digest_or_none(expected)
        if digest is None or not self._store.exists(digest):
            return
        self._writer.close()
        with suppress(NotFoundError, RefLockedError):  # another stream holds or has removed it
            self._store.abort(self._ref)
        raise Refusal(
            grpc.StatusCode.ALREADY_EXISTS, f"blob with expected digest {digest} exists"
        ) from AlreadyExistsError(digest)

    def _describe(self, response: wire.WriteContentResponse) -> None:
        status = self._writer.status()
        response.offset = self._writer.offset
        response.total = self._total or 0
        response.digest = self._writer.digest
        set_time(response.started_at, status.started_ns)
        set_time(response.updated_at, status.updated_ns)
        response.status.CopyFrom(from_status(status))
        response.unsent = self._writer.is_unsent

    def _write(self, at: int, data: Buffer) -> None:
        """Append; offset 0 drops the bytes before, and a negative offset means the current one."""
        offset = self._writer.offset
        if at > 0 and at != offset:
            raise Refusal(
                grpc.StatusCode.OUT_OF_RANGE,
                f"write @{at} must occur at current offset {offset}",
            )
        if at == 0 and offset > 0:
            self._writer.truncate()
        left = memoryview(data)
        while left:
            left = left[self._writer.write(left) :]

    def _commit(self, request: wire.WriteContentRequest) -> str:
        expected = digest_or_none(self._expected)
        if self._expected and expected is None:
            raise Refusal(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"unexpected commit digest {self._writer.digest}, expected {self._expected}",
            )
        self._redeclare(expected)
        try:
            info = self._writer.commit(
                size=self._total,
                expected=expected,
                labels=to_labels(request.labels),
                exist_ok=False,  # containerd's clients treat that error as success
            )
        except SizeMismatchError as error:
            raise Refusal(
                grpc.StatusCode.FAILED_PRECONDITION,
                f'"{self._ref}" failed size validation: {error.actual} != {error.expected}',
            ) from error
        committed: str = info.digest
        return committed

    def _redeclare(self, expected: Digest | None) -> None:
        """Redeclare total and digest if the stream has changed them since it was opened.

        The library's writer checks what it was opened with; in the protocol the last value counts.
        """
        news = zip(self._declared, (self._total, expected), strict=True)
        if any(was is not None and was != now for was, now in news):
            self._writer.redeclare(total=self._total, expected=expected)


def _metadata_of(request: wire.WriteContentRequest) -> dict[str, str] | None:
    return dict(request.metadata) if request.metadata_known else None


def _total_of(request: wire.WriteContentRequest) -> int | None:
    return request.total if request.total > 0 or request.total_known else None
