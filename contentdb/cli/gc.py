"""``contentdb gc`` and ``why``: take what nothing keeps, and tell what keeps a blob."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from contentdb.cli.options import Age, Size, complete_digest, filters_option
from contentdb.cli.progress import bar
from contentdb.cli.session import (
    dry_run_option,
    each,
    json_option,
    open_store,
    quiet_option,
    resolve,
    set_exit_code,
    tell_and_go_on,
)
from contentdb.cli.show import age, escape, json_line, line, size
from contentdb.engine import Capability
from contentdb.errors import NoRootsError

if TYPE_CHECKING:
    from contentdb import Store
    from contentdb.content import Collected, Collection, Step

__all__ = ["gc", "why"]

_USAGE = 2
"""Exit code for a namespace without roots: the command line did not say what is wanted."""


@click.command(short_help="Take the blobs that nothing keeps.")
@click.option(
    "--grace", type=Age(), metavar="AGE", help="Leave what was stored or found within AGE (1d)."
)
@click.option("--full", is_flag=True, help="Look at all blobs, not only at the queue.")
@click.option("--limit", metavar="N", type=click.IntRange(min=0), help="Stop after N blobs.")
@click.option("--ingests", type=Age(), metavar="AGE", help="Drop also ingests abandoned for AGE.")
@click.option("--no-roots", is_flag=True, help="Collect where no tag or lease keeps anything.")
@click.option(
    "--max-bytes", type=Size(), metavar="SIZE", help="Take what was unused for longest, above SIZE."
)
@click.option("--unused-for", type=Age(), metavar="AGE", help="Take what was unused for AGE.")
@filters_option
@click.option("--status", is_flag=True, help="Only tell what waits for a collection.")
@dry_run_option
@json_option
@quiet_option
@click.pass_context
def gc(
    context: click.Context,
    /,
    status: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    **terms: Any,  # noqa: ANN401 - the arguments of `Store.collect`
) -> None:
    """Remove the blobs that nothing keeps: no tag, no lease, and no blob that is kept itself.

    What was stored, or found stored, within a day stays. Other processes may go on. With
    --max-bytes or --unused-for, or a policy, only what was not used for longest goes.
    """
    store = open_store(context, reads=status or dry_run, needs=Capability.COLLECT)
    if status:
        _tell_status(store, as_json=as_json)
        return

    def tell(one: Collected) -> None:
        if as_json:
            json_line({"digest": one.digest, "size": one.size, "removed": not dry_run})
        elif quiet:
            line(one.digest)
        else:
            line(f"{'would collect' if dry_run else 'collected'} {one.digest} ({size(one.size)})")

    try:
        with nullcontext() if quiet else bar(None, what="collecting"):
            done = store.collect(**terms, dry_run=dry_run, progress=tell)
    except NoRootsError as error:
        set_exit_code(context, _USAGE)
        tell_and_go_on(context, error)
        return
    if as_json:
        json_line(_record(done))
    elif not quiet:
        _tell_sum(done, dry_run=dry_run)


def _moment(ns: int | None) -> str | None:
    return None if ns is None else datetime.fromtimestamp(ns // 10**9, tz=UTC).isoformat()


def _record(done: Collection) -> dict[str, Any]:
    record = done._asdict()
    return record | {"begins_at": _moment(record.pop("begins_ns"))}


def _tell_sum(done: Collection, *, dry_run: bool) -> None:
    verb = "would collect" if dry_run else "collected"
    more = f", dropped {done.ingests} ingests" if done.ingests and not dry_run else ""
    line(
        f"{verb} {done.blobs} blobs, {size(done.bytes)}{more}; "
        f"kept {done.kept}, undecided {done.undecided}"
    )
    if done.begins_ns is not None:
        begins = datetime.fromtimestamp(done.begins_ns // 10**9, tz=UTC).astimezone()
        line(f"this store is collected from {begins:%Y-%m-%d %H:%M} on; until then all has grace")


def _tell_status(store: Store, *, as_json: bool) -> None:
    found = store.queue_status()
    held = [info.holder for info in store.leases() if info.holder is not None]
    if as_json:
        record = found._asdict()
        times = {"oldest_due_at": _moment(record.pop("oldest_due_ns"))}
        times["begins_at"] = _moment(record.pop("begins_ns"))
        json_line(record | times | {"held_by": held})
        return
    oldest = "" if found.oldest_due_ns is None else f", the oldest for {age(found.oldest_due_ns)}"
    by = f" ({', '.join(map(escape, held))})" if held else ""
    line(f"queued {found.queued} ({found.due} due{oldest}), leases {found.leases}{by}")
    if found.bytes is not None:
        line(f"holds {size(found.bytes)}, {size(found.reserved)} reserved")
    if found.begins_ns is None:
        line("this store was never collected from")


@click.command(short_help="Tell what keeps a blob.")
@click.argument(
    "digests", metavar="DIGEST…", nargs=-1, required=True, shell_complete=complete_digest
)
@json_option
@quiet_option
@click.pass_context
def why(context: click.Context, digests: tuple[str, ...], as_json: bool, quiet: bool) -> None:
    """Print the way from each blob up to what keeps it; exit 1 if nothing does."""
    store = open_store(context, reads=True, needs=Capability.COLLECT)

    def show(text: str) -> None:
        digest = resolve(store, text)
        steps = store.why(digest)
        if not steps:
            set_exit_code(context, 1)
        if as_json:
            way = [step._asdict() for step in steps]
            json_line({"digest": digest, "kept": bool(steps), "steps": way})
        elif quiet:
            line(escape(f"{steps[-1].kind} {steps[-1].name}") if steps else "nothing")
        else:
            _print(digest, steps)

    each(context, digests, show)


def _print(digest: str, steps: tuple[Step, ...]) -> None:
    line(digest)
    for step in steps[1:]:
        if step.kind == "content":
            key = "" if step.by is None else escape(step.by.removeprefix("containerd.io/"))
            line(f"↑ {step.name}  {key}")
        elif step.kind == "fresh":
            until = datetime.fromtimestamp(int(step.name) // 10**9, tz=UTC).astimezone()
            line(f"fresh until {until:%Y-%m-%d %H:%M}")
        elif step.kind == "old":
            line("stored before collection was known; only gc --full looks at it")
        else:
            line(f"{step.kind} {escape(step.name)}")
    if not steps:
        line("nothing keeps it")
