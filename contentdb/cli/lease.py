"""``contentdb lease``: keep content that nothing refers to yet."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import click

from contentdb.cli.options import Age, filters_option, labels_option
from contentdb.cli.session import (
    cache_of,
    database_of,
    each,
    json_option,
    open_store,
    quiet_option,
    root_of,
    set_exit_code,
)
from contentdb.cli.show import age, escape, json_line, line, table
from contentdb.cli.stopping import Terminated
from contentdb.engine import Capability

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from contentdb.content import LeaseInfo

__all__ = ["lease"]

_HEADS = ("ID", f"{'AGE':>8}", f"{'ENDS':>10}", "HELD BY")


@click.group(short_help="Keep content that nothing refers to yet: create, ls, end, run.")
def lease() -> None:
    """Keep content from collection for as long as a lease lives.

    Commands that store something join the lease that --lease or CONTENTDB_LEASE names.
    """


@lease.command()
@click.option("--expires", type=Age(), metavar="AGE", help="End it after this time, as in 90s, 2h.")
@click.option("--id", "id_", metavar="ID", help="Its name; by default one is made up.")
@click.option("--flat", is_flag=True, help="Keep only its blobs, not what they refer to.")
@labels_option
@json_option
@quiet_option
@click.pass_context
def create(
    context: click.Context,
    expires: timedelta | None,
    id_: str | None,
    flat: bool,
    labels: dict[str, str] | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Begin a lease, durably, and print its id. Without --expires it lasts until it is ended."""
    del quiet  # there is nothing to leave out
    store = open_store(context, needs=Capability.LEASES)
    made = store.lease(expires=expires, lasting=expires is None, id=id_, flat=flat, labels=labels)
    if as_json:
        json_line(_record(made.describe()))
    else:
        line(escape(made.id))


@lease.command()
@filters_option
@json_option
@quiet_option
@click.pass_context
def ls(context: click.Context, filters: tuple[str, ...], as_json: bool, quiet: bool) -> None:
    """List the leases that live: id, age, end and holder. -q prints only the ids."""
    store = open_store(context, reads=True, needs=Capability.LEASES)
    found = list(store.leases(*filters))
    for info in found if as_json or quiet else ():
        if as_json:
            json_line(_record(info))
        else:
            line(escape(info.id))
    if found and not as_json and not quiet:
        for text in table(_HEADS, map(_row, found)):
            line(text)


def _row(info: LeaseInfo) -> tuple[str, str, str, str]:
    if info.expires_at is not None:
        ends = info.expires_at.astimezone().strftime("%H:%M %a")
    else:
        ends = "with it" if info.holder else "never"
    return escape(info.id), f"{age(info.created_ns):>8}", f"{ends:>10}", escape(info.holder or "-")


def _record(info: LeaseInfo) -> dict[str, Any]:
    return {
        "id": info.id,
        "created_at": info.created_at.isoformat(),
        "expires_at": None if info.expires_at is None else info.expires_at.isoformat(),
        "flat": info.flat,
        "holder": info.holder,
        "labels": dict(info.labels),
    }


@lease.command()
@click.argument("ids", metavar="ID…", nargs=-1, required=True)
@json_option
@quiet_option
@click.pass_context
def end(context: click.Context, ids: tuple[str, ...], as_json: bool, quiet: bool) -> None:
    """End each lease, durably, and print its id."""
    store = open_store(context, needs=Capability.LEASES)

    def act(id_: str) -> None:
        store.end_lease(id_)
        if as_json:
            json_line({"id": id_})
        elif not quiet:
            line(escape(id_))

    each(context, ids, act)


@lease.command(context_settings={"ignore_unknown_options": True})
@click.argument("command", metavar="COMMAND…", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_context
def run(context: click.Context, command: tuple[str, ...]) -> None:
    """Hold a lease while COMMAND runs, and exit with its code.

    Each contentdb that COMMAND runs joins the lease, by CONTENTDB_LEASE. It ends with COMMAND, or
    with this process, however that ends.
    """
    root = database_of(context) or os.path.abspath(root_of(context))  # noqa: PTH100 - links stay
    store = open_store(context, needs=Capability.LEASES)
    with store.lease(labels={"command": " ".join(command)[:1000]}) as held:
        environment = os.environ | {
            "CONTENTDB_LEASE": held.id,
            "CONTENTDB_NAMESPACE": store.namespace,
            "CONTENTDB_ROOT": root,
        }
        cache = cache_of(context)
        if cache is not None:
            environment["CONTENTDB_CACHE"] = os.path.abspath(cache)  # noqa: PTH100 - as above
        environment.pop("CONTENTDB_ADDRESS", None)  # it would go before the root
        code = _run(command, environment)
    set_exit_code(context, code)


def _run(command: Sequence[str], environment: dict[str, str]) -> int:
    """Run a command to its end, and return its code as a shell would."""
    import subprocess  # other commands need it not

    try:
        child = subprocess.Popen(command, env=environment)  # noqa: S603 - it is the user's
    except OSError as error:
        raise click.ClickException(f"{command[0]}: {error.strerror}") from error
    try:
        code = child.wait()
    except KeyboardInterrupt as error:
        child.send_signal(signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT)
        child.wait()
        raise
    return 128 - code if code < 0 else code
