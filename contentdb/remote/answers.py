"""Statuses of calls as errors of the library, and the block that turns one into the other."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import grpc

from contentdb import errors
from contentdb.server.statuses import unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["error_of", "is_unimplemented", "told"]

_LOCKED: Final = re.compile(r" locked(?: for \S+ \(since [^()]*\))?: unavailable\Z")

_BY_CODE: Final[dict[grpc.StatusCode, Callable[[str, str], errors.ContentDBError]]] = {
    grpc.StatusCode.NOT_FOUND: lambda digest, _: errors.NotFoundError(digest=digest),
    grpc.StatusCode.ALREADY_EXISTS: lambda digest, _: errors.AlreadyExistsError(digest),
    grpc.StatusCode.FAILED_PRECONDITION: lambda _, text: errors.FailedPreconditionError(text),
    grpc.StatusCode.INVALID_ARGUMENT: lambda _, text: errors.InvalidArgumentError(text),
    grpc.StatusCode.OUT_OF_RANGE: lambda _, text: errors.InvalidArgumentError(text),
    grpc.StatusCode.DATA_LOSS: lambda digest, text: errors.CorruptBlobError(digest, "remote", text),
}


@contextmanager
def told(*, digest: str = "", ref: str | None = None) -> Iterator[None]:
    """Raise what a call in the block ends with as an error of the library."""
    try:
        yield
    except grpc.RpcError as error:
        raise error_of(error, digest=digest, ref=ref) from error


def error_of(
    error: grpc.RpcError, *, digest: str = "", ref: str | None = None
) -> errors.ContentDBError:
    """Make the library's error of a status.

    A contentdb server sends the error itself. Of another server's status the code tells the
    class; ``digest`` and ``ref`` are what the call was about.
    """
    call: Any = error  # whatever is raised is a `grpc.Call` too, which its type does not say
    sent = unpack(call.trailing_metadata() or (), digest=digest, ref=ref)
    return sent or _by_code(call.code(), call.details() or "", digest, ref)


def is_unimplemented(error: errors.ContentDBError) -> bool:
    """Whether the server does not know the rpc that was called."""
    call: Any = error.__cause__
    return isinstance(call, grpc.RpcError) and call.code() is grpc.StatusCode.UNIMPLEMENTED


def _by_code(
    code: grpc.StatusCode, text: str, digest: str, ref: str | None
) -> errors.ContentDBError:
    if code is grpc.StatusCode.UNAVAILABLE and ref is not None and _LOCKED.search(text):
        return errors.RefLockedError(ref)
    if code is grpc.StatusCode.NOT_FOUND and ref is not None:
        return errors.NotFoundError(ref=ref)
    if (make := _BY_CODE.get(code)) is not None:
        return make(digest, text)
    if code is grpc.StatusCode.UNAVAILABLE:  # gRPC tells the whole way to it, then the reason
        return errors.StoreError("remote store", f"nobody answers: {text.rpartition('rror: ')[2]}")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return errors.StoreError("remote store", "nobody answers: it took too long")
    return errors.StoreError("remote store", f"{code.name}: {text}")
