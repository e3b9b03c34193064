"""Refs and namespaces: the names that callers choose, and the rules for them."""

from __future__ import annotations

import re
from typing import Final

from contentdb.errors import InvalidArgumentError, InvalidRefError

__all__ = ["DEFAULT_NAMESPACE", "check_namespace", "check_ref"]

DEFAULT_NAMESPACE: Final = "default"
_NAMESPACE: Final = re.compile(r"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*")
_NAMESPACE_CHARS: Final = 76
_REF_BYTES: Final = 4096


def check_ref(ref: str) -> str:
    """Return the ref; raise `InvalidRefError` unless it is 1 to 4096 bytes of UTF-8 without NUL."""
    if not isinstance(ref, str):
        raise InvalidRefError(repr(ref), f"a ref is text, not {type(ref).__name__}")
    if not ref:
        raise InvalidRefError(ref, "it is empty")
    if "\0" in ref:
        raise InvalidRefError(ref, "it holds a NUL")
    try:
        length = len(ref.encode())
    except UnicodeEncodeError:
        raise InvalidRefError(ref, "it is not valid Unicode") from None
    if length > _REF_BYTES:
        raise InvalidRefError(ref, f"it has {length} bytes; {_REF_BYTES} is the most")
    return ref


def check_namespace(namespace: object) -> str:
    """Return the namespace, or raise `InvalidArgumentError`; containerd has the same rule."""
    if not isinstance(namespace, str):
        kind = type(namespace).__name__
        raise InvalidArgumentError(f"a namespace is text, not {kind}; the default is 'default'")
    valid = _NAMESPACE.fullmatch(namespace)
    if valid is None or len(namespace) > _NAMESPACE_CHARS:
        message = (
            f"invalid namespace {namespace!r}: letters and digits, joined by single . _ or -, "
            f"{_NAMESPACE_CHARS} characters at most"
        )
        raise InvalidArgumentError(message)
    return namespace
