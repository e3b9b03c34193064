"""``contentdb ingest``: store standard input under a ref, resumably."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from contentdb.cli.ingesting import read_standard_input, take_in
from contentdb.cli.options import Seconds, complete_ref, labels_option
from contentdb.cli.session import invocation, json_option, open_store, quiet_option
from contentdb.digest import Digest

if TYPE_CHECKING:
    from typing import BinaryIO

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
    store = open_store(context, create=True, joins=True)
    take_in(
        store,
        ref,
        source=source,
        expected_digest=expected_digest,
        expected_size=expected_size,
        labels=labels,
        wait=False if no_wait else True if wait is None else wait,
        as_json=as_json,
        quiet=quiet,
        invocation=invocation,
    )


def standard_input(context: click.Context) -> BinaryIO:
    """Return standard input; raise a usage error if it is closed."""
    if sys.stdin is None:
        raise click.UsageError("standard input is closed; give the content as in `< FILE`", context)
    return read_standard_input()
