"""Translates gRPC statuses into errors of the library."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import grpc

from contentdb import errors
from contentdb.wire.statuses import unpack

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["error_of", "is_unimplemented"]

_LOCKED: Final = re.compile(r" locked(?: for \S+ \(since [^()]*\))?: unavailable\Z")

_BY_CODE: Final[dict[grpc.StatusCode, Callable[[str, str], errors.ContentDBError]]] = {
    grpc.StatusCode.NOT_FOUND: lambda digest, _: errors.NotFoundError(digest=digest),
    grpc.StatusCode.ALREADY_EXISTS: lambda digest, _: errors.AlreadyExistsError(digest),
    grpc.StatusCode.FAILED_PRECONDITION: lambda _, text: errors.FailedPreconditionError(text),
    grpc.StatusCode.INVALID_ARGUMENT: lambda _, text: errors.InvalidArgumentError(text),
    grpc.StatusCode.OUT_OF_RANGE: lambda _, text: errors.InvalidArgumentError(text),
    grpc.StatusCode.DATA_LOSS: lambda digest, text: errors.CorruptBlobError(digest, "remote", text),
}


def error_of(
    error: grpc.RpcError,
    *,
    digest: str = "",
    ref: str | None = None,
    absent: errors.ContentDBError | None = None,
    why: Callable[[], str | None] = lambda: None,
) -> errors.ContentDBError:
    """Translate a gRPC status into an error of the library.

    A contentdb server sends the error itself in a trailer. For another server the status code
    decides the class.

    Args:
        error: What gRPC raised.
        digest: The blob that the call was about.
        ref: The ingest that the call was about.
        absent: The error if what the call was about is not there.
        why: Returns why the call did not reach a server, or None if it cannot find out.
    """
    call: Any = error  # gRPC raises objects that are also a `grpc.Call`; their type does not say so
    sent = unpack(call.trailing_metadata() or (), digest=digest, ref=ref)
    if sent is not None:
        return sent
    if absent is not None and call.code() is grpc.StatusCode.NOT_FOUND:
        return absent
    return _choose_error(call.code(), call.details() or "", digest, ref, why)


def is_unimplemented(error: errors.ContentDBError) -> bool:
    """Return whether the server does not have the rpc that was called."""
    call: Any = error.__cause__
    return isinstance(call, grpc.RpcError) and call.code() is grpc.StatusCode.UNIMPLEMENTED


def _choose_error(
    code: grpc.StatusCode, text: str, digest: str, ref: str | None, why: Callable[[], str | None]
) -> errors.ContentDBError:
    if code is grpc.StatusCode.UNAVAILABLE and ref is not None and _LOCKED.search(text):
        return errors.RefLockedError(ref)
    if code is grpc.StatusCode.NOT_FOUND and ref is not None:
        return errors.NotFoundError(ref=ref)
    if (make := _BY_CODE.get(code)) is not None:
        return make(digest, text)
    if code is grpc.StatusCode.UNAVAILABLE:
        return _make_unreachable_error(text, why())
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return errors.StoreError("remote store", "the server does not answer: it took too long")
    return errors.StoreError("remote store", f"{code.name}: {text}")


def _make_unreachable_error(text: str, reason: str | None) -> errors.StoreError:
    if reason is not None:
        return errors.StoreError("remote store", f"no connection: {reason}")
    said = text.rpartition("rror: ")[2]  # gRPC names every step, then the reason
    return errors.StoreError("remote store", f"the server does not answer: {said}")
