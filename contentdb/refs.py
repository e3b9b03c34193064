"""Refs, tags, leases and namespaces: the names that callers choose, and the rules for them."""

from __future__ import annotations

from contentdb.errors import InvalidArgumentError, InvalidRefError, InvalidTagError
from contentdb.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Final

__all__ = [
    "DEFAULT_NAMESPACE",
    "check_lease",
    "check_media_type",
    "check_namespace",
    "check_ref",
    "check_tag",
]

DEFAULT_NAMESPACE: Final = "default"
_NAMESPACE: Final = r"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*"
_NAMESPACE_CHARS: Final = 76
_REF_BYTES: Final = 4096
_MEDIA_TYPE_CHARS: Final = 255


def check_ref(ref: str) -> str:
    """Return the ref; raise `InvalidRefError` unless it is 1 to 4096 bytes of UTF-8 without NUL."""
    reason = _why_no_name(ref, "a ref")
    if reason is not None:
        raise InvalidRefError(_text(ref), reason)
    return ref


def check_tag(name: str) -> str:
    """Return the name; raise `InvalidTagError` unless it is as `check_ref` wants it."""
    reason = _why_no_name(name, "a tag's name")
    if reason is not None:
        raise InvalidTagError(_text(name), reason)
    return name


def check_lease(id_: str) -> str:
    """Return the id; raise `InvalidArgumentError` unless it is as `check_ref` wants a ref."""
    reason = _why_no_name(id_, "a lease's id")
    if reason is not None:
        raise InvalidArgumentError(f"invalid lease {id_!r:.80}: {reason}")
    return id_


def _text(name: object) -> str:
    return name if isinstance(name, str) else repr(name)


def _why_no_name(name: object, what: str) -> str | None:
    if not isinstance(name, str):
        return f"{what} is text, not {type(name).__name__}"
    if not name:
        return "it is empty"
    if "\0" in name:
        return "it holds a NUL"
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        return "it is not valid Unicode"
    return f"it has {length} bytes; {_REF_BYTES} is the most" if length > _REF_BYTES else None


def check_media_type(tag: str, media_type: object) -> str | None:
    """Return the media type; raise `InvalidTagError` unless it is printable, of 255 characters."""
    if media_type is None:
        return None
    if not isinstance(media_type, str) or not media_type or not media_type.isprintable():
        raise InvalidTagError(tag, f"{media_type!r:.80} is no media type")
    if len(media_type) > _MEDIA_TYPE_CHARS:
        raise InvalidTagError(tag, f"a media type has {_MEDIA_TYPE_CHARS} characters at most")
    return media_type


def check_namespace(namespace: object) -> str:
    """Return the namespace, or raise `InvalidArgumentError`; containerd has the same rule."""
    if namespace == DEFAULT_NAMESPACE and type(namespace) is str:
        return DEFAULT_NAMESPACE  # the usual one, for which `re` need not be imported
    if not isinstance(namespace, str):
        kind = type(namespace).__name__
        raise InvalidArgumentError(f"a namespace is text, not {kind}; the default is 'default'")
    import re

    valid = re.fullmatch(_NAMESPACE, namespace)
    if valid is None or len(namespace) > _NAMESPACE_CHARS:
        message = (
            f"invalid namespace {namespace!r}: letters and digits, joined by single . _ or -, "
            f"{_NAMESPACE_CHARS} characters at most"
        )
        raise InvalidArgumentError(message)
    return namespace
