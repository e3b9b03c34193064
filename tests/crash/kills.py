"""Kill at every call: die before call k, or in the middle of write k, reopen, check.

Re-opening and repairing are killed as well: a first kill leaves a crashed store, a second one
interrupts its recovery.
"""

from __future__ import annotations

import random
from typing import Any, Final

from tests.crash.pool import Pool
from tests.crash.scenarios import SCENARIOS
from tests.crash.shim import Mode
from tests.crash.suite import FailsUndisturbedError, Outcome, Plan, Violation, chosen

__all__ = ["case_of", "job_of", "kills"]

_RECOVERY_STRIDE: Final = 12
"""A recovery is interrupted after every so many first kills."""
_RECOVERY_KILLS: Final = 5
"""At so many places, spread over all of its calls."""
_PROCESS_STRIDE: Final = 5
"""Without syncs, death comes before every so many calls."""
_RECOVERED: Final = ("commit", "delete", "group", "repair", "resume", "reindex-lost", "migrate")


def case_of(job: dict[str, Any]) -> str:
    """The name of a case: ``scenario key=value …``."""
    return " ".join([job["scenario"], *(f"{k}={v}" for k, v in job.items() if k != "scenario")])


def job_of(case: str) -> dict[str, Any]:
    """A case from its name."""
    scenario, *pairs = case.split(" ")
    job: dict[str, Any] = {"scenario": scenario}
    for pair in pairs:
        key, value = pair.split("=")
        job[key] = int(value) if value.isdecimal() else value
    return job


def _points(pool: Pool, scenario: str, durability: str) -> list[dict[str, Any]]:
    """All kill points of a scenario, found by letting it run once."""
    base = {"scenario": scenario, "durability": durability}
    clean = pool.ask(base)
    if clean["found"] or clean["error"]:
        raise FailsUndisturbedError(f"{scenario}: {clean['error']} {clean['found']}")
    cases = [base | {"mode": Mode.KILL, "target": target} for target in range(clean["count"])]
    cases += [
        base | {"mode": mode, "target": target}
        for target, call in enumerate(clean["calls"])
        if call == "write"
        for mode in (Mode.TEAR, Mode.SHORTEN)
    ]
    return cases


def _recoveries(pool: Pool, scenario: str, count: int) -> list[dict[str, Any]]:
    """Second kills, spread over the calls of recoveries from first kills."""
    base = {"scenario": scenario, "mode": Mode.KILL}
    whole = pool.ask(base | {"target": count // 2, "again": 1 << 40})["count"]
    draw = random.Random(scenario)
    return [
        base | {"target": target, "again": again}
        for target in range(3, count, _RECOVERY_STRIDE)
        for again in draw.sample(range(whole), min(whole, _RECOVERY_KILLS))
    ]


def _cases(pool: Pool, plan: Plan) -> list[dict[str, Any]]:
    cases = []
    for scenario in plan.scenarios or SCENARIOS:
        points = _points(pool, scenario, "full")
        cases += points
        if plan.mutant is None and scenario != "create":
            kills_only = [job for job in points if job["mode"] == Mode.KILL]
            cases += [job | {"durability": "process"} for job in kills_only[::_PROCESS_STRIDE]]
        if scenario in _RECOVERED and plan.mutant is None:
            cases += _recoveries(pool, scenario, len(points))
    return cases


def kills(plan: Plan) -> Outcome:
    """Run the suite."""
    violations: list[Violation] = []
    tried = 0
    deadline = plan.deadline()
    with Pool(plan.jobs, mutant=plan.mutant) as pool:
        cases = [job_of(plan.case)] if plan.case else chosen(_cases(pool, plan), plan)
        deadline = plan.fair(deadline)
        for job, answer in pool.each(cases, deadline):
            if plan.enough(violations, deadline):
                break
            tried += 1
            violations += [Violation(case_of(job), what) for what in answer["found"]]
    return Outcome(tried, violations, f"{len(plan.scenarios or SCENARIOS)} scenarios")
