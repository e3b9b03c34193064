"""docs/reliability.md: what is promised, what was tried, where, and with which result.

The rows are kept in ``results.json`` beside this file, so that a run of some suites renews
their rows and leaves the others.
"""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.crash.suite import Outcome

__all__ = ["Row", "write"]

_CHECKOUT: Final = Path(__file__).resolve().parents[2]
_RESULTS: Final = _CHECKOUT / "tests" / "crash" / "results.json"
_REPORT: Final = _CHECKOUT / "docs" / "reliability.md"

_HEAD: Final = """\
# What was done to the store, and what it kept

Made by `make crash`; do not edit. Each row is a suite under `tests/`; its violations are broken
promises, and none is acceptable. `python -m tests.crash NAME` runs one row again, and prints for
each violation the command that repeats just that case.

## What is promised

1. When `commit`, `add`, `add_many` or `delete` has returned, its effect survives a power cut:
   data is on disk before its name, the name before the row.
2. After a crash at any point the store opens without a repair step: every blob that is listed is
   whole and verified, nothing committed is lost, an unfinished ingest resumes or is aborted, and
   files without a row are adopted or pruned, never served half-written.
3. `durability="process"` gives up the first for speed, not the second: a killed process still
   loses nothing.
4. A full disk, an I/O error or a read-only mount is an error that names the file and the reason;
   what was committed stays, and the ingest goes on once the cause is gone. A failed sync is never
   retried as if it had worked.

After every case one judge (`tests/crash/checker.py`) opens the store as a new process would and
looks for broken promises: blobs listed but not whole, acknowledged but missing, deleted but back;
files without a row that are not whole; ingests that can neither be finished nor dropped; refs
still held; descriptors left open; files touched outside of the root; `PRAGMA integrity_check`;
and whether the store then takes in, serves and deletes new content.

## What was tried
"""

_TAIL: Final = """
## How it is known that the suites see anything

The row `mutants` runs the store with one fsync, lock, check or ordering of its protocol removed
at a time. Each must be caught, those about power loss by at least two of the three engines; a
suite that no longer catches its mutant fails the run.

## What is not covered

- Devices that lie about flushes, or lose what they had flushed: no software on top can tell.
- Filesystems other than ext4 and xfs; the enumerated crash states assume only what POSIX and
  every journalling filesystem give: a rename is one step, and what was synced stays.
- Filesystems on the network are refused by the store unless asked for.
- A filesystem that has stopped itself over a failed disk may end a process with SIGBUS instead of
  an error, for SQLite maps its shared memory. What was acknowledged is there once it is mounted
  again.
- Bytes of an unfinished ingest that were written less than a sync before a power cut may be lost;
  what is promised of it is that it resumes or can be dropped.
- Machines other than the one named above; the figures are counts, not rates, and do not depend
  on its speed.
"""


class Row(NamedTuple):
    """One line of the table."""

    name: str
    title: str
    outcome: Outcome
    took_s: float


def write(rows: Sequence[Row], *, share: bool) -> None:
    """Renew the rows and write the report."""
    known: dict[str, Any] = json.loads(_RESULTS.read_text()) if _RESULTS.exists() else {}
    for row in rows:
        known[row.name] = {
            "title": row.title,
            "tried": row.outcome.tried,
            "violations": len(row.outcome.violations),
            "notes": row.outcome.notes,
            "took_s": round(row.took_s),
            "when": time.strftime("%Y-%m-%d", time.gmtime()),
            "commit": _commit(),
            "share": share,
            "machine": _machine(),
        }
    _RESULTS.write_text(json.dumps(known, indent=1) + "\n")
    _REPORT.parent.mkdir(exist_ok=True)
    _REPORT.write_text(_HEAD + "\n".join(_table(known)) + "\n" + _TAIL)


def _table(known: dict[str, Any]) -> list[str]:
    lines = [
        "| suite | what happens | tried | violations | minutes | notes |",
        "|---|---|---:|---:|---:|---|",
    ]
    for name, row in known.items():
        notes = row["notes"] + (" (a share only)" if row["share"] else "")
        lines.append(
            f"| `{name}` | {row['title']} | {row['tried']:,} | {row['violations']:,} "
            f"| {row['took_s'] / 60:.1f} | {notes} |"
        )
    places = sorted({(row["machine"], row["when"], row["commit"]) for row in known.values()})
    return (
        lines
        + [""]
        + [f"On {machine}, {when}, commit {commit}." for machine, when, commit in places]
    )


def _commit() -> str:
    """The commit, and whether anything else than this report differs from it."""
    commit = _git("describe", "--always")
    others = [f":(exclude,top){path.relative_to(_CHECKOUT)}" for path in (_RESULTS, _REPORT)]
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ":/", *others)
    return (commit or "unknown") + ("-dirty" if changed else "")


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=_CHECKOUT)
    return done.stdout.strip()


def _machine() -> str:
    release = platform.release().split("-")[0]
    return (
        f"{os.cpu_count()} cores of {platform.machine()}, Linux {release}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )
