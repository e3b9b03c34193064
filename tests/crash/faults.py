"""Errors at every call, once and lasting: the store refuses in its own words and loses nothing."""

from __future__ import annotations

from typing import Any, Final

from tests.crash.kills import case_of, job_of
from tests.crash.pool import Pool
from tests.crash.scenarios import SCENARIOS
from tests.crash.shim import ALL_CALLS, INTERRUPTIBLE_CALLS, Mode
from tests.crash.suite import Outcome, Plan, Violation, chosen

__all__ = ["faults"]

_ERRORS: Final = ("EIO", "ENOSPC", "EDQUOT", "EROFS", "EMFILE")


def _jobs(pool: Pool, scenario: str) -> list[dict[str, Any]]:
    base = {"scenario": scenario, "mode": Mode.FAIL}
    counts = {
        mask: pool.ask({"scenario": scenario, "mask": mask})["count"]
        for mask in (ALL_CALLS, INTERRUPTIBLE_CALLS)
    }
    jobs = [
        base | {"error": error, "lasting": lasting, "target": target}
        for error in _ERRORS
        for lasting in (0, 1)
        for target in range(counts[ALL_CALLS])
    ]
    return jobs + [
        base | {"error": "EINTR", "mask": INTERRUPTIBLE_CALLS, "target": target}
        for target in range(counts[INTERRUPTIBLE_CALLS])
    ]


def faults(plan: Plan) -> Outcome:
    """Run the suite."""
    violations: list[Violation] = []
    tried = refused = 0
    deadline = plan.deadline()
    with Pool(plan.jobs, mutant=plan.mutant) as pool:
        if plan.case:
            cases = [job_of(plan.case)]
        else:
            every = [job for name in plan.scenarios or SCENARIOS for job in _jobs(pool, name)]
            cases = chosen(every, plan)
        deadline = plan.fair(deadline)
        for job, answer in pool.each(cases, deadline):
            if plan.enough(violations, deadline):
                break
            tried += 1
            refused += answer["error"] is not None
            violations += [Violation(case_of(job), what) for what in answer["found"]]
    return Outcome(tried, violations, f"{refused:,} refused, the rest absorbed")
