"""What ``contentdb ingest`` does once its words are known: store a stream under a ref."""

from __future__ import annotations

import sys
from contextlib import nullcontext

from contentdb.cli.progress import bar
from contentdb.cli.show import escape, info_record, json_line, line, shorten, size
from contentdb.errors import (
    ContentDBError,
    DigestMismatchError,
    FailedPreconditionError,
    SizeMismatchError,
)
from contentdb.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from contentdb import Store

__all__ = ["read_standard_input", "take_in"]


def take_in(
    store: Store,
    ref: str,
    *,
    source: BinaryIO,
    expected_digest: str | None,
    expected_size: int | None,
    labels: dict[str, str] | None,
    wait: bool | float,
    as_json: bool,
    quiet: bool,
    invocation: Callable[[], str],
) -> None:
    """Store standard input, and print its digest.

    ``invocation`` returns the command line up to the command, for advice in messages.
    """
    try:
        shown = bar(expected_size, lambda: _kept_bytes(store, ref), what=shorten(ref))
        with nullcontext() if quiet else shown:
            info = store.ingest(
                ref,
                source,
                total=expected_size,
                expected=expected_digest,
                labels=labels,
                wait=wait,
            )
    except KeyboardInterrupt as stop:
        raise type(stop)(_explain_interrupt(store, ref, invocation)) from stop
    except (SizeMismatchError, DigestMismatchError) as error:
        raise FailedPreconditionError(_explain_mismatch(store, ref, error, invocation)) from error
    except OSError as error:  # of standard input; the library wraps those of files
        raise OSError(error.errno, error.strerror, "standard input") from error
    if as_json:
        json_line(info_record(info))
    elif not quiet:
        line(info.digest)


def read_standard_input() -> BinaryIO:
    """Return standard input without Python's buffer, since the library reads in large pieces."""
    if sys.stdin.isatty():
        print(  # noqa: T201 - tells the user why the command seems to hang
            "contentdb: reading from the terminal; end with Ctrl-D", file=sys.stderr
        )
    raw: BinaryIO = getattr(sys.stdin.buffer, "raw", sys.stdin.buffer)
    return raw


def _kept_bytes(store: Store, ref: str) -> int:
    try:
        return store.status(ref).offset
    except ContentDBError:
        return 0


def _abort_command(ref: str, invocation: Callable[[], str]) -> str:
    from shlex import quote

    dashes = "-- " if ref.startswith("-") else ""
    return escape(f"`{invocation()} abort {dashes}{quote(ref)}`")


def _explain_interrupt(store: Store, ref: str, invocation: Callable[[], str]) -> str:
    kept = _kept_bytes(store, ref)
    if not kept:
        return "interrupted before anything was kept; run the same command again"
    return (
        f"interrupted with {size(kept)} kept: run the same command again to resume, "
        f"or {_abort_command(ref, invocation)} to drop it"
    )


def _explain_mismatch(
    store: Store,
    ref: str,
    error: SizeMismatchError | DigestMismatchError,
    invocation: Callable[[], str],
) -> str:
    if isinstance(error, SizeMismatchError):
        sentence = f"ref {escape(repr(ref))}: expected {error.expected} bytes, got {error.actual}"
        if error.actual < error.expected:
            return (
                f"{sentence}; {size(_kept_bytes(store, ref))} kept: give the whole content to "
                f"resume, or {_abort_command(ref, invocation)} to drop it"
            )
    else:
        sentence = f"ref {escape(repr(ref))}: expected content {error.expected}, got {error.actual}"
    return (
        f"{sentence}; nothing is stored, and what came is kept: give the right content, "
        f"or {_abort_command(ref, invocation)} to drop it"
    )
