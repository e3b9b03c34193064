"""``contentdb verify``, ``repair`` and ``reindex``: compare files with the index, and repair."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click

import contentdb
from contentdb.cli.failures import FOUND
from contentdb.cli.progress import bar
from contentdb.cli.session import (
    database_of,
    dry_run_option,
    json_option,
    open_store,
    quiet_option,
    root_of,
    set_exit_code,
)
from contentdb.cli.show import escape, json_line, line, size
from contentdb.engine import Capability

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from contentdb.content import Usage
    from contentdb.engine import Adopted
    from contentdb.findings import Finding, Repaired
    from contentdb.local.upkeep.reindex import Reindexed

__all__ = ["reindex", "repair", "verify"]

quick_option = click.option(
    "--quick",
    is_flag=True,
    help="Compare checksums, not digests; in a database only sizes, reading nothing.",
)


def _record(finding: Finding) -> dict[str, Any]:
    return {
        "kind": finding.kind,
        "digest": finding.digest,
        "path": str(finding.path),
        "detail": finding.detail,
    }


def _text(finding: Finding) -> str:
    return escape(f"{finding.kind} {finding.digest or finding.path}: {finding.detail}")


def _bar(usage: Usage, *, quiet: bool) -> AbstractContextManager[None]:
    return nullcontext() if quiet else bar(usage.blob_bytes, what="verifying")


@click.command(short_help="Compare all files with the index, changing nothing.")
@quick_option
@json_option
@quiet_option
@click.pass_context
def verify(context: click.Context, quick: bool, as_json: bool, quiet: bool) -> None:
    """Compare all files with the index, changing nothing; exit 3 if something is found.

    Prints a line for each finding (-q: only its digest or path), and at last what was compared.
    """
    store = open_store(context, reads=True, needs=Capability.VERIFY)
    usage = store.usage()
    count = 0
    with _bar(usage, quiet=quiet):
        for finding in store.verify(quick=quick):
            count += 1
            set_exit_code(context, FOUND)
            if as_json:
                json_line(_record(finding))
            else:
                line(escape(str(finding.digest or finding.path)) if quiet else _text(finding))
    if not (as_json or quiet):
        line(f"{usage.blobs} blobs, {size(usage.blob_bytes)}: {count or 'nothing'} found")


@click.command(short_help="Verify, and repair what is found.")
@quick_option
@dry_run_option
@json_option
@quiet_option
@click.pass_context
def repair(context: click.Context, quick: bool, dry_run: bool, as_json: bool, quiet: bool) -> None:
    """Verify, and repair what is found: adopt, quarantine, mark, make read-only."""

    def tell(done: Repaired) -> None:
        if as_json:
            json_line(_record(done.finding) | {"action": done.action, "done": not dry_run})
        elif not quiet:
            line(f"{_text(done.finding)}: {'would be ' if dry_run else ''}{done.action}")

    store = open_store(context, needs=Capability.VERIFY)
    with _bar(store.usage(), quiet=quiet):
        contentdb.repair(store, store.verify(quick=quick), dry_run=dry_run, progress=tell)


@click.command(short_help="Rebuild the index from the files.")
@dry_run_option
@json_option
@quiet_option
@click.pass_context
def reindex(context: click.Context, dry_run: bool, as_json: bool, quiet: bool) -> None:
    """Rebuild the index from the files; labels that it can still read are kept."""
    from contentdb.refs import DEFAULT_NAMESPACE

    done: Reindexed | Adopted
    with nullcontext() if quiet else bar(None, what="reindexing"):
        if database_of(context) is not None:
            done = open_store(context, needs=Capability.ADOPT).adopt(dry_run=dry_run)
        elif context.find_root().params["namespace"] == DEFAULT_NAMESPACE:
            done = contentdb.reindex(root_of(context), dry_run=dry_run)  # also of a broken index
        else:
            done = open_store(context, needs=Capability.UPKEEP).reindex(dry_run=dry_run)
    counts = done._asdict()
    if as_json:
        json_line(counts)
    elif not quiet:
        text = ", ".join(f"{count} {name}" for name, count in counts.items())
        line(f"would be: {text}" if dry_run else text)
