"""Output: sizes and ages for people, records for programs, and no terminal control characters."""

from __future__ import annotations

import io
import sys
import time

from contentdb.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import timedelta
    from typing import Any, Final

    from contentdb.content import Info, Status

__all__ = [
    "age",
    "escape",
    "flush",
    "info_record",
    "json_line",
    "labels_text",
    "let_stdout_print_any",
    "line",
    "moment",
    "name_stdout",
    "shorten",
    "size",
    "span",
    "status_record",
    "table",
    "write",
    "write_bytes",
]

_KIB: Final = 1024
_SHORT_CHARS: Final = 20
_AGES: Final = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def escape(text: str) -> str:
    """Escape unprintable characters, such as for control or text direction, as `ascii` does."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def shorten(text: str) -> str:
    """Shorten a ref or digest as image tools do: ``sha256:`` and 12 characters."""
    return escape(text if len(text) <= _SHORT_CHARS else text[: _SHORT_CHARS - 1] + "…")


def size(bytes_: int | None) -> str:
    """Format bytes in binary units: ``1.5 MiB``; ``?`` if unknown."""
    if bytes_ is None:
        return "?"
    amount = float(bytes_)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if amount < _KIB or unit == "PiB":
            return f"{bytes_} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= _KIB
    raise AssertionError


def age(moment_ns: int, now_ns: int | None = None) -> str:
    """Format the time since a moment in its largest unit: ``3m ago``; ``now`` below a second."""
    seconds = ((time.time_ns() if now_ns is None else now_ns) - moment_ns) // 1_000_000_000
    for unit, length in _AGES:
        if seconds >= length:
            return f"{seconds // length}{unit} ago"
    return "now"


def moment(ns: int) -> str:
    """Format a moment in nanoseconds since the epoch, in UTC, to the second."""
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(ns // 1_000_000_000))


def span(time_: timedelta) -> str:
    """Format a time span in the largest unit of which it is a whole number: ``90s``, ``30d``."""
    seconds = time_.total_seconds()
    for unit, length in _AGES:
        if seconds and seconds % length == 0:
            return f"{int(seconds) // length}{unit}"
    return f"{seconds:g}s"


def line(text: str) -> None:
    """Print a line."""
    write(f"{text}\n")


def write(text: str) -> None:
    """Print text without a newline."""
    try:
        sys.stdout.write(text)
    except OSError as error:
        raise name_stdout(error) from error


def write_bytes(data: bytes) -> None:
    """Print bytes, behind any text printed before."""
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
    except OSError as error:
        raise name_stdout(error) from error


def let_stdout_print_any() -> None:
    """Let stdout escape what its encoding lacks: no label may fail where the locale is ASCII."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def flush() -> None:
    """Flush stdout, so that a full disk or a closed pipe is an error before the process ends."""
    try:
        sys.stdout.flush()
    except OSError as error:
        raise name_stdout(error) from error


def name_stdout(error: OSError) -> OSError:
    """Return the error with "standard output" as its file; the number decides the same class."""
    return OSError(error.errno, error.strerror, "standard output")


def json_line(record: dict[str, Any]) -> None:
    """Print one object on one line, in ASCII, which is the same in every locale."""
    import json

    line(json.dumps(record))


def labels_text(info: Info) -> str:
    """Format labels as ``k=v,k=v``, escaped."""
    return escape(",".join(f"{key}={value}" for key, value in sorted(info.labels.items())))


def info_record(info: Info) -> dict[str, Any]:
    """Return a blob's record for ``--json``: sizes in bytes, ISO times."""
    return {
        "digest": info.digest,
        "size": info.size,
        "created_at": info.created_at.isoformat(),
        "updated_at": info.updated_at.isoformat(),
        "labels": dict(info.labels),
    }


def status_record(status: Status) -> dict[str, Any]:
    """Return an ingest's record for ``--json``; what is unknown is null."""
    return {
        "ref": status.ref,
        "offset": status.offset,
        "total": status.total,
        "expected": status.expected,
        "started_at": status.started_at.isoformat(),
        "updated_at": status.updated_at.isoformat(),
        "held": status.held,
    }


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterable[str]:
    """Yield the lines of a table with aligned columns, two spaces apart."""
    everything = [tuple(heads), *(tuple(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*everything, strict=True)]
    for row in everything:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()
