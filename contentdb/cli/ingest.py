"""``contentdb ingest``: store standard input under a ref, resumably."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from contentdb.cli.options import Seconds, complete_ref, labels_option
from contentdb.cli.progress import bar
from contentdb.cli.session import invocation, json_option, open_store, quiet_option
from contentdb.cli.show import escape, info_record, json_line, line, shorten, size
from contentdb.digest import Digest
from contentdb.errors import (
    ContentDBError,
    DigestMismatchError,
    FailedPreconditionError,
    SizeMismatchError,
)

if TYPE_CHECKING:
    from typing import BinaryIO

    from contentdb import Store

__all__ = ["ingest", "standard_input"]


@click.command(short_help="Store standard input under a ref, resumably.")
@click.argument("ref", required=False, shell_complete=complete_ref)
@click.option("--expected-digest", metavar="DIGEST", help="The digest of the content.")
@click.option(
    "--expected-size", type=click.IntRange(0), metavar="BYTES", help="The size of the content."
)
@click.option("--no-wait", is_flag=True, help="Exit 5 at once if another writer holds the ref.")
@click.option("--wait", type=Seconds(), metavar="SECONDS", help="Wait for the ref at most so long.")
@labels_option
@json_option
@quiet_option
@click.pass_context
def ingest(  # noqa: PLR0917 - click passes every option by name
    context: click.Context,
    ref: str | None,
    expected_digest: str | None,
    expected_size: int | None,
    no_wait: bool,
    wait: float | None,
    labels: dict[str, str] | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Store standard input under REF, by default the expected digest, and print its digest.

    Of two runs with the same REF at once the second waits. The same input given again after an
    interruption is resumed. If the expected digest is stored already the input is not read.
    """
    if expected_digest is not None:
        Digest(expected_digest)  # raise about the digest before it is used as the ref
    if ref is None:
        ref = expected_digest
    if ref is None:
        raise click.UsageError("give a REF, or --expected-digest", context)
    if no_wait and wait is not None:
        raise click.UsageError("--no-wait and --wait exclude each other", context)
    source = standard_input(context)
    store = open_store(context, create=True)
    try:
        shown = bar(expected_size, lambda: _kept_bytes(store, ref), what=shorten(ref))
        with nullcontext() if quiet else shown:
            info = store.ingest(
                ref,
                source,
                total=expected_size,
                expected=expected_digest,
                labels=labels,
                wait=False if no_wait else True if wait is None else wait,
            )
    except KeyboardInterrupt as stop:
        raise type(stop)(_explain_interrupt(store, ref)) from stop
    except (SizeMismatchError, DigestMismatchError) as error:
        raise FailedPreconditionError(_explain_mismatch(store, ref, error)) from error
    except OSError as error:  # of standard input; the library wraps those of files
        raise OSError(error.errno, error.strerror, "standard input") from error
    if as_json:
        json_line(info_record(info))
    elif not quiet:
        line(info.digest)


def standard_input(context: click.Context) -> BinaryIO:
    """Return standard input without Python's buffer, since the library reads in large pieces."""
    if sys.stdin is None:
        raise click.UsageError("standard input is closed; give the content as in `< FILE`", context)
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


def _abort_command(ref: str) -> str:
    from shlex import quote

    dashes = "-- " if ref.startswith("-") else ""
    return escape(f"`{invocation()} abort {dashes}{quote(ref)}`")


def _explain_interrupt(store: Store, ref: str) -> str:
    kept = _kept_bytes(store, ref)
    if not kept:
        return "interrupted before anything was kept; run the same command again"
    return (
        f"interrupted with {size(kept)} kept: run the same command again to resume, "
        f"or {_abort_command(ref)} to drop it"
    )


def _explain_mismatch(
    store: Store, ref: str, error: SizeMismatchError | DigestMismatchError
) -> str:
    if isinstance(error, SizeMismatchError):
        sentence = f"ref {escape(repr(ref))}: expected {error.expected} bytes, got {error.actual}"
        if error.actual < error.expected:
            return (
                f"{sentence}; {size(_kept_bytes(store, ref))} kept: give the whole content to "
                f"resume, or {_abort_command(ref)} to drop it"
            )
    else:
        sentence = f"ref {escape(repr(ref))}: expected content {error.expected}, got {error.actual}"
    return (
        f"{sentence}; nothing is stored, and what came is kept: give the right content, "
        f"or {_abort_command(ref)} to drop it"
    )
