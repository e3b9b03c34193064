"""``contentdb verify``, ``repair`` and ``reindex``: compare files and index, and mend them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from contentdb.cli.failures import FOUND
from contentdb.cli.session import (
    dry_run_option,
    json_option,
    open_store,
    quiet_option,
    root_of,
    set_exit_code,
)
from contentdb.cli.show import escaped, json_line, line

if TYPE_CHECKING:
    from contentdb.verify import Finding

__all__ = ["reindex", "repair", "verify"]


def _record(finding: Finding) -> dict[str, Any]:
    return {
        "kind": finding.kind,
        "digest": finding.digest,
        "path": str(finding.path),
        "detail": finding.detail,
    }


def _text(finding: Finding) -> str:
    return escaped(f"{finding.kind} {finding.digest or finding.path}: {finding.detail}")


@click.command()
@click.option("--quick", is_flag=True, help="Compare checksums, not digests.")
@json_option
@quiet_option
@click.pass_context
def verify(context: click.Context, quick: bool, as_json: bool, quiet: bool) -> None:
    """Compare all files with the index, changing nothing; exit 3 if something is found."""
    for finding in open_store(context).verify(quick=quick):
        set_exit_code(context, FOUND)
        if as_json:
            json_line(_record(finding))
        else:
            line(str(finding.digest or finding.path) if quiet else _text(finding))


@click.command()
@click.option("--quick", is_flag=True, help="Compare checksums, not digests.")
@dry_run_option
@json_option
@quiet_option
@click.pass_context
def repair(context: click.Context, quick: bool, dry_run: bool, as_json: bool, quiet: bool) -> None:
    """Verify, and mend what is found: adopt, quarantine, mark missing, make read-only."""
    import contentdb

    store = open_store(context)
    for done in contentdb.repair(store, store.verify(quick=quick), dry_run=dry_run):
        if as_json:
            json_line(_record(done.finding) | {"action": done.action, "done": not dry_run})
        elif not quiet:
            line(f"{_text(done.finding)}: {'would be ' if dry_run else ''}{done.action}")


@click.command()
@json_option
@quiet_option
@click.pass_context
def reindex(context: click.Context, as_json: bool, quiet: bool) -> None:
    """Rebuild the index from the files; labels of what it still knows are kept."""
    import contentdb

    counts = contentdb.reindex(root_of(context))._asdict()
    if as_json:
        json_line(counts)
    elif not quiet:
        line(", ".join(f"{count} {name}" for name, count in counts.items()))
