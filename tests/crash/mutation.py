"""Try every mutant on the engines that must catch it; one that gets away is a violation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.crash.blockerrors import block_errors
from tests.crash.cuts import cuts
from tests.crash.faults import faults
from tests.crash.fulldisk import full_disks
from tests.crash.images import images
from tests.crash.kills import kills
from tests.crash.mutants import MUTANTS, Mutant
from tests.crash.probing import probing
from tests.crash.raises import raises
from tests.crash.states import states
from tests.crash.suite import (
    FailsUndisturbedError,
    Outcome,
    Plan,
    UnavailableError,
    Violation,
    chosen,
)
from tests.stress.collecting import collecting
from tests.stress.unsynced import unsynced

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["mutation"]

_ENGINES: Final[dict[str, Callable[[Plan], Outcome]]] = {
    "kills": kills,
    "states": states,
    "cuts": cuts,
    "images": images,
    "faults": faults,
    "full": full_disks,
    "eio": block_errors,
    "probes": probing,
    "raises": raises,
    "unsynced": unsynced,
    "collecting": collecting,
}
_PATIENCE_S: Final = 120.0


def _is_caught(mutant: Mutant, engine: str, plan: Plan) -> bool:
    try:
        outcome = _ENGINES[engine](
            Plan(
                seconds=_PATIENCE_S,
                seed=plan.seed,
                jobs=plan.jobs,
                mutant=mutant.name,
                scenarios=mutant.scenarios,
                first=True,
            )
        )
    except FailsUndisturbedError:
        return True
    return bool(outcome.violations)


def mutation(plan: Plan) -> Outcome:
    """Run the suite; a case is a mutant and an engine."""
    every = [(mutant, engine) for mutant in MUTANTS.values() for engine in mutant.engines]
    if plan.case:
        name, engine = plan.case.split(" ")
        every = [(MUTANTS[name], engine)]
    tried = 0
    violations: list[Violation] = []
    skipped: set[str] = set()
    deadline = plan.deadline()
    for mutant, engine in chosen(every, plan):
        if plan.enough((), deadline):
            break
        try:
            caught = _is_caught(mutant, engine, plan)
        except UnavailableError as error:
            skipped.add(f"{engine}: {error}")
            continue
        tried += 1
        if not caught:
            violations.append(
                Violation(f"{mutant.name} {engine}", f"{mutant.name} got away from {engine}")
            )
    notes = f"{len(MUTANTS)} mutants" + "".join(f"; skipped {why}" for why in sorted(skipped))
    return Outcome(tried, violations, notes)
