"""Rounds: every case once, in an order that turns; then again. Each in a fresh process.

Nothing is deleted between rounds, since after many deletes ext4 makes new files slowly for minutes:
all goes into one scratch directory, removed at the very end. Cases that delete run last.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

from benchmarks.contestants import entry, missing
from benchmarks.machine import describe
from benchmarks.measure import Sample
from benchmarks.results import Results, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.cases import Case

__all__ = ["Runner"]

_LIMIT_S = 600


class Runner:
    """Runs cases in ``scratch``, a directory on the filesystem in question."""

    def __init__(self, scratch: Path, *, say: Callable[[str], object] = print) -> None:
        scratch.mkdir(parents=True, exist_ok=True)
        self.scratch = Path(mkdtemp(prefix="contentdb-bench-", dir=scratch))
        self._say = say
        self._count = 0
        self._fixtures: dict[tuple[str, int], Path] = {}

    def close(self) -> None:
        """Remove all that was written."""
        shutil.rmtree(self.scratch, ignore_errors=True)

    def run(self, cases: Sequence[Case], rounds: int, *, settings: dict[str, object]) -> Results:
        """Measure, and give what was found; a case that fails says so and stops no other."""
        absent = {c.subject: why for c in cases if (why := missing(entry(c.subject)))}
        for subject, why in absent.items():
            self._say(f"missing: {subject}: {why}")
        present = [case for case in cases if case.subject not in absent]
        samples: dict[str, list[Sample | None]] = {case.name: [] for case in present}
        errors: dict[str, str] = {}
        started = time.monotonic()
        for number in range(rounds):
            self._round(present, number, samples, errors)
            self._say(f"round {number + 1} of {rounds}: {time.monotonic() - started:.0f} s")
        rows = [_row(case, samples[case.name], errors.get(case.name, "")) for case in present]
        machine = describe(self.scratch)
        return Results(machine, {"rounds": rounds, **settings}, rows, absent)

    def _round(
        self,
        cases: Sequence[Case],
        number: int,
        samples: dict[str, list[Sample | None]],
        errors: dict[str, str],
    ) -> None:
        for case in _turned(cases, number):
            if number >= case.rounds:
                continue
            try:
                sample = self.measure(case)
            except RuntimeError as error:
                errors[case.name] = str(error)
                samples[case.name].append(None)
                self._say(f"  {case.name}: failed: {error}")
            else:
                samples[case.name].append(sample)
                self._say(f"  {case.name}: {sample.operations / sample.seconds:,.1f}/s")

    def measure(self, case: Case, *, code: Path | None = None) -> Sample:
        """Run one case in a fresh process; ``code`` is the tree whose contentdb it imports."""
        self._count += 1
        order: dict[str, object] = {
            "case": case._asdict(),
            "directory": str(self.scratch / f"{self._count:04}"),
            "fixture": str(self._fixture(case.rows, code)) if case.rows else None,
        }
        return Sample(**json.loads(_worker(order, code)))

    def _fixture(self, rows: int, code: Path | None) -> Path:
        key = (str(code or ""), rows)
        if key not in self._fixtures:
            path = self.scratch / f"index-{len(self._fixtures)}-{rows}"
            _worker({"make_index": rows, "directory": str(path)}, code)
            self._fixtures[key] = path
        return self._fixtures[key]


def _worker(order: dict[str, object], code: Path | None) -> str:
    environment = dict(os.environ)
    here = str(Path(__file__).parents[1])
    environment["PYTHONPATH"] = os.pathsep.join([str(code), here] if code else [here])
    command = [sys.executable, "-m", "benchmarks.worker", json.dumps(order)]
    # Away from the checkout: `-m` puts the working directory first on the path.
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env=environment, cwd="/",
        timeout=_LIMIT_S,
    )  # fmt: skip
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(last)
    return done.stdout


def _turned(cases: Sequence[Case], number: int) -> list[Case]:
    """Turn the order, so that nobody is always behind the same; what deletes stays last."""
    last = [case for case in cases if case.do == "delete"]
    rest = [case for case in cases if case.do != "delete"]
    at = number * 7 % len(rest) if rest else 0
    return [*rest[at:], *rest[:at], *last]


def _row(case: Case, samples: list[Sample | None], error: str) -> Row:
    found = entry(case.subject)
    return Row(case, found.kind, found.durable, tuple(samples), error)
