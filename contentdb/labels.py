"""Labels: short texts that a caller sets on a blob, and the two ways to change them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from contentdb.errors import InvalidArgumentError, InvalidFieldError, InvalidLabelError
from contentdb.light_typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing import Any, Final

__all__ = [
    "ANNOTATION",
    "NO_LABELS",
    "Labelling",
    "check_label",
    "check_labels",
    "check_mapping",
    "check_total_labels",
    "keys_of_fields",
    "labelling",
]

ANNOTATION: Final = "contentdb.annotation."
"""What the keys of those labels of a tag begin with that are annotations of its digest.

In containerd's API they are a part of the target, not of the labels. They go when the tag moves.
"""
_LABEL_BYTES: Final = 4096
_TOTAL_BYTES: Final = 1 << 20
"""Limit for all labels of one blob together, which bounds an Info in memory and in a message."""
_PREFIX: Final = "labels."


class Labelling(NamedTuple):
    """The labels that a call sets: on content that is new, and on content already stored."""

    new: Mapping[str, str]
    stored: Mapping[str, str]

    def then(self, later: Labelling) -> Labelling:
        """Combine the labels of two calls that store the same content; this is the first call.

        Raises:
            InvalidLabelError: Together they exceed the limit of one blob.
        """
        if not later.stored:
            return self
        new = {**self.new, **later.stored}
        check_total_labels(new)
        return Labelling(new, {**self.stored, **later.stored})


NO_LABELS: Final = Labelling({}, {})


def labelling(labels: Mapping[str, str] | None, *, keep_labels: bool = False) -> Labelling:
    """Check the labels of a call; with ``keep_labels`` content already stored keeps its own."""
    if labels is None:
        return NO_LABELS
    kept = check_labels(labels)
    return Labelling(kept, {} if keep_labels else kept)


def check_labels(labels: Mapping[Any, Any]) -> dict[str, str]:
    """Copy the labels, or raise `InvalidLabelError`.

    Key and value are text without NUL, together at most 4096 bytes of UTF-8; the key is not
    empty. All labels together have at most 1 MiB. A label with an empty value is left out, as in
    containerd.
    """
    for key, value in check_mapping(labels).items():
        check_label(key, value)
    kept = {key: value for key, value in labels.items() if value}
    check_total_labels(kept)
    return kept


def check_mapping(labels: Mapping[str, str]) -> Mapping[str, str]:
    """Return the mapping, or raise `InvalidArgumentError`; its keys and values are not checked."""
    if not isinstance(labels, Mapping):
        raise InvalidArgumentError(
            f'labels is a mapping of text to text, such as {{"kind": "layer"}}, not {labels!r:.80}'
        )
    return labels


def check_label(key: object, value: object) -> None:
    """Raise `InvalidLabelError` if this key and value cannot be a label."""
    if not isinstance(key, str) or not isinstance(value, str):
        what, given = ("value", value) if isinstance(key, str) else ("key", key)
        kind = type(given).__name__
        raise InvalidLabelError(str(key), f"its {what} is of type {kind}; give text")
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


def check_total_labels(labels: Mapping[str, str], stored: Mapping[str, str] | None = None) -> None:
    """Raise `InvalidLabelError` if one blob cannot have all these labels: 1 MiB is the most.

    A blob that exceeded the limit before the limit existed may lose labels one by one.

    Args:
        labels: All labels after the change, each already checked.
        stored: All labels before the change.
    """
    if len(labels) <= _TOTAL_BYTES // _LABEL_BYTES:
        return  # with at most 4096 bytes each, so few cannot exceed the limit
    total = _size_bytes(labels)
    if total > _TOTAL_BYTES and total > _size_bytes(stored or {}):
        largest = max(labels, key=lambda key: len(key) + len(labels[key]))
        raise InvalidLabelError(
            largest,
            f"all labels of the blob would have {total} bytes together; {_TOTAL_BYTES} is the most",
        )


def _size_bytes(labels: Mapping[str, str]) -> int:
    return sum(len(key.encode()) + len(value.encode()) for key, value in labels.items())


def keys_of_fields(fields: Collection[str]) -> frozenset[str] | None:
    """Return the label keys that an update's fields name, or None for all labels.

    ``labels`` means all, ``labels.KEY`` one; the key is everything after the first dot.

    Raises:
        InvalidFieldError: A field is anything else, such as an immutable field of a blob.
    """
    if isinstance(fields, str | bytes) or not isinstance(fields, Collection):
        raise InvalidFieldError(str(fields), 'fields is a list of texts, such as ["labels.kind"]')
    for field in fields:
        if not isinstance(field, str):
            raise InvalidFieldError(str(field), "a field is text, such as labels.kind")
        if field != "labels" and not field.startswith(_PREFIX):
            raise InvalidFieldError(field, "only labels can be updated: use labels or labels.KEY")
        if field == _PREFIX:
            raise InvalidFieldError(field, "the label's key is missing after the dot")
        check_labels({field.removeprefix(_PREFIX): ""} if field != "labels" else {})
    if "labels" in fields:
        return None
    return frozenset(field.removeprefix(_PREFIX) for field in fields)
