"""Labels: short texts that a caller hangs on a blob, and the two ways to change them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from contentdb.errors import InvalidArgumentError, InvalidFieldError, InvalidLabelError

__all__ = [
    "Labelling",
    "check_label",
    "check_labels",
    "check_mapping",
    "check_total_labels",
    "keys_of_fields",
    "labelling",
]

_LABEL_BYTES: Final = 4096
_TOTAL_BYTES: Final = 1 << 20
"""Of all labels of one blob: what one Info may weigh, in memory and in a message."""
_PREFIX: Final = "labels."


class Labelling(NamedTuple):
    """The labels that a call sets: on content that is new, and on content that is stored."""

    new: Mapping[str, str]
    stored: Mapping[str, str]

    def then(self, later: Labelling) -> Labelling:
        """What comes of two calls with the same content, of which this was the first.

        Raises:
            InvalidLabelError: They are too many together.
        """
        if not later.stored:
            return self
        new = {**self.new, **later.stored}
        check_total_labels(new)
        return Labelling(new, {**self.stored, **later.stored})


_NONE: Final = Labelling({}, {})


def labelling(labels: Mapping[str, str] | None, *, keep_labels: bool = False) -> Labelling:
    """Check the labels of a call; with ``keep_labels`` stored content keeps those that it has."""
    if labels is None:
        return _NONE
    kept = check_labels(labels)
    return Labelling(kept, {} if keep_labels else kept)


def check_labels(labels: Mapping[Any, Any]) -> dict[str, str]:
    """Copy the labels, or raise `InvalidLabelError`.

    Key and value are text without NUL, together at most 4096 bytes of UTF-8; the key is not
    empty. All of them together have at most 1 MiB. A label with an empty value is no label and is
    left out, as in containerd.
    """
    for key, value in check_mapping(labels).items():
        check_label(key, value)
    kept = {key: value for key, value in labels.items() if value}
    check_total_labels(kept)
    return kept


def check_mapping(labels: Mapping[str, str]) -> Mapping[str, str]:
    """Give it back, or raise `InvalidArgumentError`; what is in it is not looked at."""
    if not isinstance(labels, Mapping):
        raise InvalidArgumentError(
            f'labels is a mapping of text to text, such as {{"kind": "layer"}}, not {labels!r:.80}'
        )
    return labels


def check_label(key: object, value: object) -> None:
    """Raise `InvalidLabelError` for what cannot be one."""
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

    Labels that were ``stored`` before there was such a limit may be taken away one by one.

    Args:
        labels: All labels as they would be, each of them checked already.
        stored: All labels as they are.
    """
    if len(labels) <= _TOTAL_BYTES // _LABEL_BYTES:
        return  # so few cannot weigh more
    total = _weigh(labels)
    if total > _TOTAL_BYTES and total > _weigh(stored or {}):
        largest = max(labels, key=lambda key: len(key) + len(labels[key]))
        raise InvalidLabelError(
            largest,
            f"all labels of the blob would have {total} bytes together; {_TOTAL_BYTES} is the most",
        )


def _weigh(labels: Mapping[str, str]) -> int:
    return sum(len(key.encode()) + len(value.encode()) for key, value in labels.items())


def keys_of_fields(fields: Collection[str]) -> frozenset[str] | None:
    """Read the fields of an update: the keys it is about, or None for all labels.

    ``labels`` means all, ``labels.KEY`` one; all after the first dot is the key. Anything
    else, the immutable fields of a blob above all, is refused with `InvalidFieldError`.
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
