"""Labels: short texts that a caller hangs on a blob, and the two ways to change them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from contentdb.errors import InvalidFieldError, InvalidLabelError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["check_labels", "keys_of_fields"]

_LABEL_BYTES: Final = 4096
_PREFIX: Final = "labels."


def check_labels(labels: Mapping[Any, Any]) -> dict[str, str]:
    """Copy the labels, or raise `InvalidLabelError`.

    Key and value are text without NUL, together at most 4096 bytes of UTF-8; the key is not
    empty. A label with an empty value is no label and is left out, as in containerd.
    """
    for key, value in labels.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise InvalidLabelError(str(key), "key and value must both be text")
        if not key:
            raise InvalidLabelError(key, "the key is empty")
        if "\0" in key or "\0" in value:
            raise InvalidLabelError(key, "it holds a NUL")
        try:
            length = len(key.encode()) + len(value.encode())
        except UnicodeEncodeError:
            raise InvalidLabelError(key, "it is not valid Unicode") from None
        if length > _LABEL_BYTES:
            raise InvalidLabelError(
                key, f"key and value have {length} bytes together; {_LABEL_BYTES} is the most"
            )
    return {key: value for key, value in labels.items() if value}


def keys_of_fields(fields: Sequence[str]) -> frozenset[str] | None:
    """Read the fields of an update: the keys it is about, or None for all labels.

    ``labels`` means all, ``labels.KEY`` one; all after the first dot is the key. Anything
    else, the immutable fields of a blob above all, is refused with `InvalidFieldError`.
    """
    if isinstance(fields, str):
        raise InvalidFieldError(fields, 'fields is a list of texts, such as ["labels.kind"]')
    for field in fields:
        if field != "labels" and not field.startswith(_PREFIX):
            raise InvalidFieldError(field, "only labels can be updated: use labels or labels.KEY")
        if field == _PREFIX:
            raise InvalidFieldError(field, "the label's key is missing after the dot")
        check_labels({field.removeprefix(_PREFIX): ""} if field != "labels" else {})
    if "labels" in fields:
        return None
    return frozenset(field.removeprefix(_PREFIX) for field in fields)
