"""Translates the store's errors into gRPC statuses and back.

containerd's clients act on a status's code and print its text, which follows containerd's. The
contentdb client reads the error itself, its class and its facts, from the trailer
``contentdb-error-bin``.
"""

from __future__ import annotations

import json
from types import UnionType
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import grpc

from contentdb import errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "ERROR_TRAILER",
    "Refusal",
    "code_of",
    "describe",
    "pack",
    "quoted",
    "shorten",
    "text_of",
    "unpack",
]

ERROR_TRAILER: Final = "contentdb-error-bin"
_TRAILER_BYTES: Final = 3 * 1024
_TEXT_BYTES: Final = 2 * 1024
_FACT_CHARS: Final = 512
"""gRPC drops a call and its status if the trailers exceed 8 KiB. There a byte of the text may take
three, and three bytes of the packed error take four. So texts are cut and large facts left out.
"""

_FACTS: Final[dict[type[errors.ContentDBError], dict[str, type | UnionType]]] = {
    errors.InvalidDigestError: {"text": str},
    errors.InvalidRefError: {"ref": str},
    errors.InvalidTagError: {"tag": str},
    errors.InvalidLabelError: {"key": str},
    errors.InvalidFieldError: {"field": str},
    errors.InvalidFilterError: {"text": str, "position": int, "reason": str},
    errors.OffsetOutOfRangeError: {"offset": int, "size": int},
    errors.NotFoundError: {
        "digest": str | None,
        "ref": str | None,
        "tag": str | None,
        "lease": str | None,
    },
    errors.AlreadyExistsError: {"digest": str},
    errors.ConflictError: {"tag": str, "wanted": str | None, "found": str | None},
    errors.LeaseExistsError: {"lease": str},
    errors.LeaseEndedError: {"lease": str},
    errors.SizeMismatchError: {"expected": int, "actual": int, "ref": str | None},
    errors.DigestMismatchError: {"expected": str, "actual": str, "ref": str | None},
    errors.RefLockedError: {"ref": str, "held_s": float | None, "holder": str | None},
    errors.WriterClosedError: {"ref": str},
    errors.StoreClosedError: {"root": str},
    errors.CorruptBlobError: {"digest": str, "path": str, "reason": str},
    errors.StorageError: {"action": str, "path": str, "errno": int | None},
    errors.IndexFailedError: {"path": str, "reason": str},
    errors.StoreError: {"root": str, "reason": str},
    errors.MissingExtraError: {"what": str, "extra": str},
    errors.NoRootsError: {"namespace": str},
    errors.UndecidedError: {"digest": str, "seen": int},
    errors.QuotaExceededError: {"namespace": str, "wanted": int, "max_bytes": int},
}
"""The attributes of each class, without those of its parents."""

_CODES: Final[dict[type[errors.ContentDBError], grpc.StatusCode]] = {
    errors.InvalidArgumentError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.OffsetOutOfRangeError: grpc.StatusCode.OUT_OF_RANGE,
    errors.NotFoundError: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExistsError: grpc.StatusCode.ALREADY_EXISTS,
    errors.LeaseExistsError: grpc.StatusCode.ALREADY_EXISTS,
    errors.LeaseEndedError: grpc.StatusCode.NOT_FOUND,
    errors.FailedPreconditionError: grpc.StatusCode.FAILED_PRECONDITION,
    # Only this class is UNAVAILABLE: clients retry that without end.
    errors.RefLockedError: grpc.StatusCode.UNAVAILABLE,
    errors.CorruptBlobError: grpc.StatusCode.DATA_LOSS,
    errors.DurabilityError: grpc.StatusCode.DATA_LOSS,
    errors.NoSpaceError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.QuotaExceededError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.IndexBusyError: grpc.StatusCode.ABORTED,
    errors.ContentDBError: grpc.StatusCode.INTERNAL,
}


class Refusal(Exception):  # noqa: N818 - not an error of the store, but an answer to a call
    """The server itself rejects a call. Attributes: ``code``, ``text``."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def code_of(error: errors.ContentDBError) -> grpc.StatusCode:
    """Return the status code of the nearest class that has one."""
    return next(_CODES[kind] for kind in type(error).__mro__ if kind in _CODES)


def text_of(error: errors.ContentDBError) -> str:
    """Return an error's text in containerd's words, for its clients."""
    if isinstance(error, errors.NotFoundError | errors.LeaseEndedError):
        return f"{_name_absent(error)}: not found"
    if isinstance(error, errors.AlreadyExistsError | errors.LeaseExistsError):
        return f"{_name_present(error)}: already exists"
    if isinstance(error, errors.RefLockedError):
        return f"ref {error.ref} locked: unavailable"
    if isinstance(error, errors.DigestMismatchError):
        return f"unexpected commit digest {error.actual}, expected {error.expected}"
    if isinstance(error, errors.InvalidFilterError):
        return f"filters: parse error: position {error.position}: {error.reason}"
    return str(error)


def _name_absent(error: errors.NotFoundError | errors.LeaseEndedError) -> str:
    if error.lease is not None:
        return f"lease {quoted(error.lease)}"
    if error.tag is not None:
        return f"image {quoted(error.tag)}"
    return f"content digest {error.digest}" if error.ref is None else f"ref {error.ref}"


def _name_present(error: errors.AlreadyExistsError | errors.LeaseExistsError) -> str:
    if isinstance(error, errors.LeaseExistsError):
        return f"lease {quoted(error.lease)}"
    return f"content {error.digest}"


def quoted(text: str) -> str:
    """Quote a name in a sentence as Go does."""
    return json.dumps(text, ensure_ascii=False)


def describe(error: errors.ContentDBError) -> bytes:
    """Pack an error's class, sentence and facts for the trailer."""
    name, text = type(error).__name__, shorten(str(error))
    facts = {
        name: value
        for name, value in vars(error).items()
        if value is None or isinstance(value, str | int | float)
    }
    packed = pack(name, text, facts)
    if len(packed) > _TRAILER_BYTES:
        small = {name: value for name, value in facts.items() if len(str(value)) <= _FACT_CHARS}
        packed = pack(name, text[:_FACT_CHARS], small)
    return packed if len(packed) <= _TRAILER_BYTES else pack(name, text[:_FACT_CHARS], {})


def shorten(text: str) -> str:
    """Shorten a status's text to what gRPC carries, and escape what UTF-8 cannot encode."""
    while len(quote(text, errors="backslashreplace")) > _TEXT_BYTES:
        text = f"{text[: len(text) * 3 // 4]}…"
    return text.encode(errors="backslashreplace").decode()


def pack(name: str, text: str, facts: dict[str, str | int | float | None]) -> bytes:
    """Encode an error for `unpack`."""
    packed = json.dumps([name, text, facts], ensure_ascii=False)
    return packed.encode(errors="surrogatepass")  # as `json.loads` decodes


def unpack(
    trailers: Iterable[tuple[str, str | bytes]], **about: str | None
) -> errors.ContentDBError | None:
    """Return the error in a call's trailers, or None, without calling the error's constructor.

    The error has all attributes of its class. If the server did not send one, its value comes
    from ``about``, which the caller knows of the call, or it is empty.
    """
    packed = next((value for key, value in trailers if key == ERROR_TRAILER), None)
    if packed is None:
        return None
    try:
        told = json.loads(packed)
    except (ValueError, RecursionError):
        return None
    match told:
        case [str(name), str(text), dict(facts)] if name in errors.__all__:
            kind: type[errors.ContentDBError] = getattr(errors, name)
        case _:
            return None
    error = kind.__new__(kind)
    error.args = (text,)
    vars(error).update(_facts_of(kind, facts, about))
    return error


def _facts_of(
    kind: type[errors.ContentDBError], told: Mapping[str, object], about: Mapping[str, str | None]
) -> dict[str, object]:
    facts: dict[str, object] = {}
    for parent in kind.__mro__:
        for name, what in _FACTS.get(parent, {}).items():
            known = (told.get(name), about.get(name) or None)
            empty = None if isinstance(what, UnionType) else what()
            facts[name] = next(
                (one for one in known if one is not None and isinstance(one, what)), empty
            )
    return facts
