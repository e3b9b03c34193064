"""What a change did: against a recorded run, or against another commit in interleaved rounds."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.contestants import entry
from benchmarks.report import HERE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.cases import Case
    from benchmarks.results import Results
    from benchmarks.runner import Runner

__all__ = ["against_commit", "against_run"]

_TELLS = 0.03
"""A median change below this is called the same, whatever its spread."""


def against_run(base: Results, now: Results) -> str:
    """Put two runs side by side. Machines drift: ratios to the floor tell more than rates."""
    lines = [f"{'case':50} {'base/s':>12} {'now/s':>12} {'change':>8} {'of floor':>16}"]
    for name, row in now.rows.items():
        before = base.rows.get(name)
        if before is None or not before.good or not row.good:
            continue
        floor = f"{row.case.workload}/{row.case.floor}"
        ratios = [results.ratio(name, floor) for results in (base, now)]
        told = " → ".join(f"{ratio:.2f}" for ratio in ratios if ratio is not None)
        change = f"{100 * (row.rate / before.rate - 1):+.0f} %"
        lines.append(f"{name:50} {before.rate:12,.1f} {row.rate:12,.1f} {change:>8} {told:>16}")
    return "\n".join(lines)


def against_commit(runner: Runner, commit: str, cases: Sequence[Case], rounds: int) -> str:
    """Run contentdb of a commit and of this tree by turns, by this tree's workloads."""
    base = _checkout(commit, runner.scratch)
    ours = [case for case in cases if entry(case.subject).kind == "contentdb"]
    ratios: dict[str, list[float]] = {}
    for number in range(rounds):
        for case in ours:
            order = (base, None) if number % 2 == 0 else (None, base)
            found = {code: runner.measure(case, code=code) for code in order}
            before, after = found[base], found[None]
            ratios.setdefault(case.name, []).append(before.seconds / after.seconds)
    lines = [f"{'case':50} {'this/' + commit:>12} {'over the rounds':>18}"]
    lines += [_verdict(name, found) for name, found in ratios.items()]
    return "\n".join(lines)


def _verdict(name: str, ratios: list[float]) -> str:
    low, high, middle = min(ratios), max(ratios), median(ratios)
    clear = abs(middle - 1) >= _TELLS and (low > 1 or high < 1)
    word = ("faster" if middle > 1 else "slower") if clear else "the same"
    return f"{name:50} {middle:12.2f} {low:8.2f} to {high:.2f}  {word}"


def _checkout(commit: str, scratch: Path) -> Path:
    """Unpack a commit beside, importable: migrations where the wheel would put them."""
    archive = subprocess.run(
        ["git", "-C", str(HERE.parent), "archive", commit], check=True, capture_output=True
    ).stdout
    tree = scratch / "base"
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(tree, filter="data")
    link = tree / "contentdb" / "migrations"
    if not os.path.lexists(link):
        link.symlink_to("../migrations")
    return tree
