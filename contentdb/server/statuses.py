"""Errors of the store as gRPC statuses, and statuses as errors again.

The code of a status is what containerd's clients act on, and its text follows containerd's
where they print it. Beside it, our own client finds the error itself, class and facts, in
the trailer ``contentdb-error-bin``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import grpc

from contentdb import errors

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ERROR_TRAILER", "Refusal", "code_of", "describe", "pack", "text_of", "unpack"]

ERROR_TRAILER: Final = "contentdb-error-bin"
_TRAILER_BYTES: Final = 6 * 1024
"""gRPC drops a call whose trailers pass 8 KiB; facts that do not fit stay at home."""

_CODES: Final[dict[type[errors.ContentDBError], grpc.StatusCode]] = {
    errors.InvalidArgumentError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.OffsetOutOfRangeError: grpc.StatusCode.OUT_OF_RANGE,
    errors.NotFoundError: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExistsError: grpc.StatusCode.ALREADY_EXISTS,
    errors.FailedPreconditionError: grpc.StatusCode.FAILED_PRECONDITION,
    # Nothing else may be UNAVAILABLE: clients try that again without end.
    errors.RefLockedError: grpc.StatusCode.UNAVAILABLE,
    errors.CorruptBlobError: grpc.StatusCode.DATA_LOSS,
    errors.DurabilityError: grpc.StatusCode.DATA_LOSS,
    errors.NoSpaceError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.IndexBusyError: grpc.StatusCode.ABORTED,
    errors.ContentDBError: grpc.StatusCode.INTERNAL,
}


class Refusal(Exception):  # noqa: N818 - not an error of the store, but an answer to a call
    """A call that the server itself turns down. Attributes: ``code``, ``text``."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def code_of(error: errors.ContentDBError) -> grpc.StatusCode:
    """The status code of the nearest class that has one."""
    return next(_CODES[kind] for kind in type(error).__mro__ if kind in _CODES)


def text_of(error: errors.ContentDBError) -> str:
    """What to tell a client that knows containerd's words."""
    if isinstance(error, errors.NotFoundError):
        what = f"content digest {error.digest}" if error.ref is None else f"ref {error.ref}"
        return f"{what}: not found"
    if isinstance(error, errors.AlreadyExistsError):
        return f"content {error.digest}: already exists"
    if isinstance(error, errors.RefLockedError):
        return f"ref {error.ref} locked: unavailable"
    if isinstance(error, errors.DigestMismatchError):
        return f"unexpected commit digest {error.actual}, expected {error.expected}"
    if isinstance(error, errors.InvalidFilterError):
        return f"filters: parse error: position {error.position}: {error.reason}"
    return str(error)


def describe(error: errors.ContentDBError) -> bytes:
    """Pack class, sentence and facts for the trailer."""
    facts = {
        name: value
        for name, value in vars(error).items()
        if value is None or isinstance(value, str | int | float)
    }
    packed = pack(type(error).__name__, str(error), facts)
    return packed if len(packed) <= _TRAILER_BYTES else pack(type(error).__name__, str(error), {})


def pack(name: str, text: str, facts: dict[str, str | int | float | None]) -> bytes:
    """Write what `unpack` reads."""
    return json.dumps([name, text, facts], ensure_ascii=False).encode()


def unpack(trailers: Iterable[tuple[str, str | bytes]]) -> errors.ContentDBError | None:
    """Make the error that the server met, without calling its constructor; None if not told."""
    packed = next((value for key, value in trailers if key == ERROR_TRAILER), None)
    if packed is None:
        return None
    try:
        name, text, facts = json.loads(packed)
    except ValueError:
        return None
    kind = getattr(errors, name, None) if name in errors.__all__ else None
    if kind is None or not isinstance(facts, dict):
        return None
    error: errors.ContentDBError = kind.__new__(kind)
    error.args = (text,)
    vars(error).update(facts)
    return error
