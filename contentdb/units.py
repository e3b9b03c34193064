"""Sizes, times and ages as people type them, and spans of time: as whole bytes and nanoseconds.

All results fit a signed 64-bit integer, which is what the index stores.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

__all__ = ["age_ns", "moment_ns", "size_bytes", "span_ns"]

_LIMIT: Final = 2**63
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND_NS: Final = 1_000_000_000
_SHOWN_CHARS: Final = 40

_SIZE: Final = re.compile(r"([0-9]{1,19})(?:\.([0-9]{1,19}))?\s*([A-Za-z]*)")
_BYTES_PER_UNIT: Final = {"": 1, "b": 1} | {
    f"{prefix}{middle}{b}": base**power
    for power, prefix in enumerate("kmgtpe", start=1)
    for middle, base in (("", 1000), ("i", 1024))
    for b in ("", "b")
}

_AGE: Final = re.compile(r"(?:[0-9]{1,10}[wdhms])+")
_AGE_PART: Final = re.compile(r"([0-9]+)([wdhms])")
_SECONDS_PER_UNIT: Final = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}

_TIME: Final = re.compile(
    r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}"
    r"(?:[Tt ][0-9]{2}:?[0-9]{2}(?::?[0-9]{2}(?:[.,]([0-9]{1,9}))?)?"
    r"(?:[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)


def size_bytes(text: str) -> int:
    """Parse bytes, without a unit or with a decimal (``10MB``) or binary (``4KiB``) one.

    Upper and lower case are the same. ``K`` is short for ``KB`` and ``Ki`` for ``KiB``. A fraction
    of a byte is dropped.

    Raises:
        ValueError: Not a size, or 2**63 bytes or more.
    """
    form = _SIZE.fullmatch(text)
    unit = form and _BYTES_PER_UNIT.get(form[3].lower())
    if form is None or unit is None:
        raise ValueError(f"{_quote(text)} is not a size; write bytes, or a unit as in 10MB or 4KiB")
    fraction = form[2] or ""
    size: int = int(form[1] + fraction) * unit // 10 ** len(fraction)
    if size >= _LIMIT:
        raise ValueError(f"{_quote(text)} is more than a store can hold; write less than 8EiB")
    return size


def age_ns(text: str) -> int:
    """Parse an age: ``90s``, ``30m``, ``2h``, ``7d``, ``1w``, or several as in ``1h30m``.

    Raises:
        ValueError: Not an age, or longer than 292 years.
    """
    if _AGE.fullmatch(text) is None:
        raise ValueError(f"{_quote(text)} is not an age; write 90s, 30m, 2h, 7d, 1w or 1h30m")
    seconds = sum(int(n) * _SECONDS_PER_UNIT[unit] for n, unit in _AGE_PART.findall(text))
    if seconds * _SECOND_NS >= _LIMIT:
        raise ValueError(f"{_quote(text)} is too long an age; write at most 292 years (106751d)")
    return seconds * _SECOND_NS


def span_ns(span: timedelta) -> int:
    """Return a span of time in nanoseconds."""
    return span // timedelta(microseconds=1) * 1000


def moment_ns(text: str, now_ns: int) -> int:
    """Parse a time into nanoseconds since the epoch.

    The text is an ISO 8601 date, which means its midnight, or a date and time to the nanosecond.
    Both are in UTC unless an offset is given. Or it is an age: the time that long before `now_ns`.

    Raises:
        ValueError: Neither, no such day or hour, or outside the years 1678 to 2261.
    """
    form = _TIME.fullmatch(text)
    if form is None:
        if _AGE.fullmatch(text) is None:
            raise ValueError(
                f"{_quote(text)} is not a time; write 2024-05-01, 2024-05-01T12:30:00Z"
                " or an age such as 90s, 30m, 2h, 7d or 1w"
            )
        return _check_range(text, now_ns - age_ns(text))
    start, end = form.span(1)
    whole = text if start < 0 else text[: start - 1] + text[end:]
    try:
        moment = datetime.fromisoformat(whole.upper())
    except ValueError as error:
        raise ValueError(f"{text} is not a time: {error}") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    seconds = (moment - _EPOCH) // timedelta(seconds=1)
    return _check_range(text, seconds * _SECOND_NS + int((form[1] or "0").ljust(9, "0")))


def _check_range(text: str, ns: int) -> int:
    if not -_LIMIT <= ns < _LIMIT:
        raise ValueError(
            f"{_quote(text)} is outside the years 1678 to 2261; write a time between them"
        )
    return ns


def _quote(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…")
