"""Raise at every point where CPython runs a signal's handler inside the library; see `anywhere`.

``python -m tests.crash.raises`` lists what was found, grouped by what is wrong and by where.
"""

from __future__ import annotations

import argparse
import re
import time
from collections import Counter
from typing import Any, Final

from tests.crash.acts import ACTS
from tests.crash.kills import case_of, job_of
from tests.crash.pool import Pool
from tests.crash.suite import FailsUndisturbedError, Outcome, Plan, Violation, chosen

__all__ = ["main", "raises"]

_PROGRAM: Final = "tests.crash.raiser"


def _points(pool: Pool, scenario: str) -> list[dict[str, Any]]:
    """All points of an act, found by letting it run once."""
    clean = pool.ask({"scenario": scenario})
    if clean["found"]:
        raise FailsUndisturbedError(f"{scenario}: {clean['found']} {clean.get('traceback', '')}")
    return [{"scenario": scenario, "at": at, "nth": nth} for at, nth, _ in clean["points"]]


def raises(plan: Plan) -> Outcome:
    """Run the suite."""
    violations: list[Violation] = []
    tried = missed = 0
    deadline = plan.deadline()
    scenarios = plan.scenarios or tuple(ACTS)
    with Pool(plan.jobs, mutant=plan.mutant, program=_PROGRAM) as pool:
        if plan.case:
            cases = [job_of(plan.case)]
        else:
            cases = chosen([job for name in scenarios for job in _points(pool, name)], plan)
        deadline = plan.fair(deadline)
        for job, answer in pool.each(cases, deadline):
            if plan.enough(violations, deadline):
                break
            tried += 1
            missed += answer["raised"] is None
            for what in dict.fromkeys(answer["found"]):
                how = answer["raised"] or "not raised"
                violations.append(Violation(case_of(job), f"{what} [{how} at {job['at']}]"))
    return Outcome(tried, violations, f"{len(scenarios)} acts; {missed} points not come to")


# -- a list for whoever mends it -------------------------------------------------------------------

_VARYING: Final = re.compile(r"sha256:[0-9a-f]{7,}|(?<=/sha256/)[0-9a-f]{2}")
_WORST: Final = (
    "LOST", "wrong", "deferred", "listed", "neither", "an acknowledged", "HANGS", "died",
    "the root", "a write transaction", "another process", "ref held", "another exception",
    "the exception",
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
    asked = parser.parse_args()
    began = time.monotonic()
    outcome = raises(
        Plan(limit=asked.limit, seed=asked.seed, jobs=asked.jobs, scenarios=tuple(asked.scenario))
    )
    print(_listing(outcome, time.monotonic() - began))  # noqa: T201 - it is a program


if __name__ == "__main__":
    main()
