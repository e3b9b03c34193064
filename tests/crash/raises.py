"""Raise at every point where CPython runs a signal's handler inside the library; see `anywhere`.

``python -m tests.crash.raises`` lists what was found, grouped by what is wrong and by where.
"""

from __future__ import annotations

import argparse
import random
import re
import time
from collections import Counter
from math import inf
from typing import TYPE_CHECKING, Any, Final

from tests.crash.acts import ACTS
from tests.crash.kills import case_of, job_of
from tests.crash.pool import Pool
from tests.crash.suite import FailsUndisturbedError, Outcome, Plan, Violation, chosen

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SHARE", "main", "raises"]

_PROGRAM: Final = "tests.crash.raiser"


SHARE: Final = (
    "open", "close-writer-open", "fork", "resume", "write-large", "commit", "ingest-resumed", "add",
    "add-move", "add-many", "batch", "delete-again", "update", "walk-filter", "read", "export-copy",
    "repair", "packed-add", "packed-commit", "packed-delete", "repack", "remote-write",
    "remote-add",
)  # fmt: skip
"""Acts that go through most of what there is: to let each of them run once takes long enough."""

Job = dict[str, Any]

_KINDS: Final = ("raise", "call", "twice", "python", "python-call")
"""A handler raises; it calls the store; it raises once more at a later point; it raises in Python's
own code that the library has called; it calls the store there, which may be within gRPC."""
_CALL_STRIDE: Final = 3
"""A handler that uses the store itself is tried at every so many points."""


def _clean(pool: Pool, scenarios: Sequence[str], **more: str) -> dict[str, Job]:
    """Let each act run once, undisturbed: its points, and what is there after each step."""
    jobs = [{"scenario": name, **more} for name in scenarios]
    found: dict[str, Job] = {}
    for job, clean in pool.each(jobs, inf):
        name = job["scenario"]
        if clean["found"]:
            raise FailsUndisturbedError(f"{name}: {clean['found']} {clean.get('traceback', '')}")
        found[name] = clean
    return found


def _jobs(clean: dict[str, Job], **more: str) -> list[Job]:
    return [
        {"scenario": name, "at": at, "nth": nth, **more}
        for name, one in clean.items()
        for at, nth, _ in one["points"]
    ]


def raises(plan: Plan) -> Outcome:
    """Run the suite."""
    return _raises(plan)


def _raises(plan: Plan, kinds: Sequence[str] = ("raise", "call")) -> Outcome:
    violations: list[Violation] = []
    tried = missed = 0
    deadline = plan.deadline()
    scenarios = plan.scenarios or tuple(ACTS)
    if plan.case:
        scenarios = (plan.case.partition(" ")[0],)
    with Pool(plan.jobs, mutant=plan.mutant, program=_PROGRAM) as pool:
        clean = _clean(pool, scenarios)
        cases = [job_of(plan.case)] if plan.case else chosen(_every(pool, clean, plan, kinds), plan)
        if plan.limit is not None or plan.seconds is not None:  # then every act has had its turn
            random.Random(plan.seed).shuffle(cases)
        deadline = plan.fair(deadline)
        known = (job | {"known": clean[job["scenario"]]["known"]} for job in cases)
        for job, answer in pool.each(known, deadline):
            if plan.enough(violations, deadline):
                break
            tried += 1
            missed += answer["raised"] is None
            del job["known"]
            for what in dict.fromkeys(answer["found"]):
                how = answer["raised"] or "not raised"
                violations.append(Violation(case_of(job), f"{what} [{how} at {job['at']}]"))
    return Outcome(tried, violations, f"{len(scenarios)} acts; {missed} points not come to")


def _every(pool: Pool, clean: dict[str, Job], plan: Plan, kinds: Sequence[str]) -> list[Job]:
    jobs: list[Job] = []
    if "raise" in kinds:
        jobs += _jobs(clean)
    if "call" in kinds:
        jobs += [job for job in _jobs(clean, do="call") if ACTS[job["scenario"]].opens][
            ::_CALL_STRIDE
        ]
    if "twice" in kinds:
        jobs += _twice(pool, clean, chosen(_jobs(clean), plan))
    if "python-call" in kinds:
        calling = tuple(name for name in clean if ACTS[name].opens)
        there = _clean(pool, calling, of="python")
        jobs += _jobs(there, of="python", do="call")[::_CALL_STRIDE]
    if "python" in kinds:
        jobs += _jobs(_clean(pool, tuple(clean), of="python"), of="python")
    return jobs


def _twice(pool: Pool, clean: dict[str, Job], firsts: list[Job]) -> list[Job]:
    """A second exception, out of what the first one has set going, at a place for each first."""
    draw = random.Random(1)
    known = (job | {"known": clean[job["scenario"]]["known"]} for job in firsts)
    jobs = []
    for job, answer in pool.each(known, inf):
        del job["known"]
        if answer["after"]:
            jobs.append(job | {"again": draw.randint(1, answer["after"])})
    return jobs


# -- a list for whoever mends it -------------------------------------------------------------------

_VARYING: Final = re.compile(r"sha256:[0-9a-f]{7,}|(?<=/sha256/)[0-9a-f]{2}")
_WORST: Final = (
    "LOST", "wrong", "deferred", "listed", "neither", "an acknowledged", "HANGS", "died",
    "the root", "the lock on packs", "a write transaction", "another process", "ref held",
    "another exception", "the exception",
)  # fmt: skip


def _kinds(violations: list[Violation]) -> dict[str, list[Violation]]:
    """By what is wrong, the worst first."""
    kinds: dict[str, list[Violation]] = {}
    for violation in violations:
        kind = violation.what.rpartition(" [")[0].partition(": ")[0]
        kinds.setdefault(kind, []).append(violation)
    ranks = {word: rank for rank, word in enumerate(_WORST)}

    def rank(kind: str) -> tuple[int, int]:
        ranked = [ranks[word] for word in _WORST if kind.startswith(word)]
        return (min(ranked, default=len(_WORST)), -len(kinds[kind]))

    return {kind: kinds[kind] for kind in sorted(kinds, key=rank)}


def _places(found: list[Violation]) -> dict[str, list[Violation]]:
    """By where it was raised, the most frequent first."""
    places: dict[str, list[Violation]] = {}
    for violation in found:
        how, _, at = violation.what.rpartition(" [")[2].removesuffix("]").partition(" at ")
        file, line, function = at.rpartition("+")[0].split(":", 2)
        places.setdefault(f"{file}:{line} {function} ({how})", []).append(violation)
    return dict(sorted(places.items(), key=lambda item: -len(item[1])))


def _details(there: list[Violation]) -> str:
    texts = (violation.what.rpartition(" [")[0].partition(": ")[2] for violation in there)
    return " | ".join(text for text in dict.fromkeys(_VARYING.sub("…", text) for text in texts))


def _listing(outcome: Outcome, took_s: float) -> str:
    cases = {violation.case for violation in outcome.violations}
    kinds = _kinds(outcome.violations)
    lines = [
        f"{outcome.tried:,} points tried in {took_s:.0f} s, {len(cases):,} with something wrong",
        f"({outcome.notes})",
        "Each place: FILE:LINE FUNCTION (INSTRUCTION): acts, what was wrong, and one case;",
        "python -m tests.crash raises --case 'CASE' repeats it.",
        "",
        *(f"{len(found):6} {kind}" for kind, found in kinds.items()),
    ]
    for kind, found in kinds.items():
        lines += ["", f"## {kind}  ({len(found)})"]
        for place, there in _places(found).items():
            acts = Counter(violation.case.partition(" ")[0] for violation in there)
            where = ", ".join(f"{act} x{count}" for act, count in acts.most_common(5))
            more = f" and {len(acts) - 5} more acts" if len(acts) > 5 else ""
            lines.append(f"  {place}: {where}{more}")
            if details := _details(there):
                lines.append(f"      {details[:600]}")
            lines.append(f"      CASE {there[0].case}")
    return "\n".join(lines)


def main() -> None:
    """List what a run finds, grouped."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.raises", description=__doc__)
    parser.add_argument("scenario", nargs="*", help="acts; none means all")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--kind", action="append", choices=_KINDS, help="what handlers do")
    asked = parser.parse_args()
    began = time.monotonic()
    plan = Plan(
        limit=asked.limit, seed=asked.seed, jobs=asked.jobs, scenarios=tuple(asked.scenario)
    )
    outcome = _raises(plan, asked.kind or ("raise", "call"))
    print(_listing(outcome, time.monotonic() - began))  # noqa: T201 - it is a program


if __name__ == "__main__":
    main()
