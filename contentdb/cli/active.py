"""``contentdb active`` and ``contentdb abort``: list ingests, and drop them."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from heapq import nlargest, nsmallest
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING

import click

from contentdb.cli.listing import INGEST_HEADS, ingest_row, print_ingests
from contentdb.cli.options import LIMIT, Seconds, filters_option, refs_argument
from contentdb.cli.session import dry_run_option, each, json_option, open_store, quiet_option
from contentdb.cli.show import escape, flush, json_line, line, status_record, table, write_bytes
from contentdb.errors import RefLockedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import NoReturn

    from contentdb import Store
    from contentdb.content import Status

__all__ = ["abort", "active"]

_SORTS = {"ref": "ref", "offset": "offset", "started_at": "started_ns", "updated_at": "updated_ns"}


@click.command(short_help="List the ingests: offset, age, and whether a writer holds them.")
@click.option("--watch", is_flag=True, help="Refresh until interrupted.")
@click.option(
    "--interval", type=Seconds(0.05), default=0.5, show_default=True, help="Refresh this often."
)
@filters_option
@click.option(
    "--sort",
    type=click.Choice([sign + name for name in _SORTS for sign in ("", "-")]),
    default="ref",
    show_default=True,
    help="-FIELD descends.",
)
@click.option("--limit", type=LIMIT, help="List at most this many.")
@click.option("-0", "--null", is_flag=True, help="With -q: exact refs, each ended by a NUL.")
@json_option
@quiet_option
@click.pass_context
def active(  # noqa: PLR0917 - click passes every option by name
    context: click.Context,
    watch: bool,
    interval: float,
    filters: tuple[str, ...],
    sort: str,
    limit: int | None,
    null: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """List the ingests: offset, age, and whether a writer holds them. -q prints only the refs."""
    store = open_store(context, reads=True)

    def now() -> Iterator[Status]:
        return _list(store, filters, sort, limit)

    if not watch:
        _show(now(), null=null, as_json=as_json, quiet=quiet)
        return
    with suppress(KeyboardInterrupt):  # Ctrl-C is the normal way to end --watch
        if sys.stdout.isatty() and not (as_json or quiet):
            _live(now, interval)
        while True:
            _show(now(), null=null, as_json=as_json, quiet=quiet)
            flush()
            time.sleep(interval)


def _list(store: Store, filters: tuple[str, ...], sort: str, limit: int | None) -> Iterator[Status]:
    """Yield ingests in the order of ``sort``; all orders but ``ref`` need a list in memory."""
    found = store.statuses(*filters)
    if sort == "ref":
        return islice(found, limit)
    key = attrgetter(_SORTS[sort.removeprefix("-")])
    descends = sort.startswith("-")
    if limit is None:
        return iter(sorted(found, key=key, reverse=descends))
    return iter((nlargest if descends else nsmallest)(limit, found, key=key))


def _show(found: Iterator[Status], *, null: bool, as_json: bool, quiet: bool) -> None:
    if as_json:
        for status in found:
            json_line(status_record(status))
    elif quiet and null:
        for status in found:
            write_bytes(status.ref.encode() + b"\0")  # exact, whatever the locale
    else:
        print_ingests(found, quiet=quiet)


def _live(now: Callable[[], Iterable[Status]], interval: float) -> NoReturn:
    from rich.live import Live
    from rich.text import Text

    with Live(transient=True, auto_refresh=False) as live:
        while True:
            live.update(Text("\n".join(table(INGEST_HEADS, map(ingest_row, now())))), refresh=True)
            time.sleep(interval)


@click.command(short_help="Drop ingests and their bytes.")
@refs_argument
@dry_run_option
@json_option
@quiet_option
@click.pass_context
def abort(
    context: click.Context, refs: tuple[str, ...], dry_run: bool, as_json: bool, quiet: bool
) -> None:
    """Drop each ingest and its bytes."""
    store = open_store(context)

    def drop(ref: str) -> None:
        if dry_run:
            if store.status(ref).held:
                raise RefLockedError(ref)
        else:
            store.abort(ref)
        if as_json:
            json_line({"ref": ref, "aborted": not dry_run})
        elif not quiet:
            line(f"would abort {escape(ref)}" if dry_run else escape(ref))

    each(context, refs, drop)
