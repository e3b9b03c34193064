"""The suite of `probes`: each on a fresh store, in a process of its own."""

from __future__ import annotations

from tests.crash.pool import Pool
from tests.crash.probes import PROBES
from tests.crash.suite import Outcome, Plan, Violation, chosen

__all__ = ["probing"]


def probing(plan: Plan) -> Outcome:
    """Run the suite; the plan's scenarios name probes."""
    wanted = [plan.case] if plan.case else chosen(list(plan.scenarios or PROBES), plan)
    violations: list[Violation] = []
    tried = 0
    deadline = plan.deadline()
    with Pool(plan.jobs, mutant=plan.mutant) as pool:
        for job, answer in pool.each([{"probe": name} for name in wanted], deadline):
            if plan.enough(violations, deadline):
                break
            tried += 1
            violations += [Violation(job["probe"], what) for what in answer["found"]]
    return Outcome(tried, violations)
