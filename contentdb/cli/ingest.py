"""``contentdb ingest``: bytes from standard input, under a ref, resumable."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, NoReturn

import click

from contentdb.cli.failures import Terminated
from contentdb.cli.options import labels_option
from contentdb.cli.session import json_option, open_store, quiet_option
from contentdb.cli.show import escaped, info_record, json_line, line, size
from contentdb.errors import ContentDBError

if TYPE_CHECKING:
    from typing import BinaryIO

    from contentdb import Store

__all__ = ["ingest"]


@click.command()
@click.argument("ref", required=False)
@click.option("--expected-digest", metavar="DIGEST", help="What the content must hash to.")
@click.option("--expected-size", type=click.IntRange(0), metavar="BYTES", help="Its exact size.")
@click.option("--no-wait", is_flag=True, help="Exit 5 at once if another writer holds the ref.")
@click.option("--wait", type=click.FloatRange(0), metavar="SECONDS", help="Wait at most so long.")
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

    The same REF twice at once is done once. What was cut off goes on where it stood, when
    the same input is given again; what is stored already is not read.
    """
    if ref is None:
        ref = expected_digest
    if ref is None:
        raise click.UsageError("give a REF, or --expected-digest", context)
    if no_wait and wait is not None:
        raise click.UsageError("--no-wait and --wait exclude each other", context)
    store = open_store(context, create=True)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        info = store.ingest(
            ref,
            _source(expected_size),
            total=expected_size,
            expected=expected_digest,
            labels=labels,
            wait=False if no_wait else True if wait is None else wait,
        )
    except KeyboardInterrupt as stop:
        raise type(stop)(_how_to_resume(store, ref)) from stop
    if as_json:
        json_line(info_record(info))
    elif not quiet:
        line(info.digest)


def _terminate(number: int, frame: object) -> NoReturn:  # noqa: ARG001 - the signature of a handler
    raise Terminated


def _source(total: int | None) -> BinaryIO:
    """Standard input below its buffer, behind a progress bar where a terminal is looking."""
    raw: BinaryIO = getattr(sys.stdin.buffer, "raw", sys.stdin.buffer)
    if not sys.stderr.isatty():
        return raw
    from contentdb.cli.progress import watched

    return watched(raw, total)


def _how_to_resume(store: Store, ref: str) -> str:
    try:
        kept = store.status(ref).offset
    except ContentDBError:
        return "interrupted before anything was kept; run the same command again"
    return (
        f"interrupted with {size(kept)} kept: run the same command again to resume, "
        f"or `contentdb abort` the ref {escaped(repr(ref))} to drop it"
    )
