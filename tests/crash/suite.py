"""What every suite takes and gives, so that one runner and one report do for all of them.

A suite is a function from a `Plan` to an `Outcome`. Its cases have names that say all there is
to say of them: the name of a violating case, given back to the runner, repeats it.
"""

from __future__ import annotations

import random
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "FailsUndisturbedError",
    "Outcome",
    "Plan",
    "Suite",
    "UnavailableError",
    "Violation",
    "chosen",
    "spread",
]

T = TypeVar("T")


class UnavailableError(Exception):
    """This machine or this user cannot run the suite; the message says what is missing."""


class FailsUndisturbedError(Exception):
    """The store fails a scenario that nothing has disturbed."""


_FAIR_S = 10.0
"""What a suite has for its cases, however slow the machine was to find them."""


class Plan(NamedTuple):
    """How much of a suite to run."""

    limit: int | None = None
    """At most so many cases; None: all."""
    seconds: float | None = None
    """Begin no further case after so long."""
    seed: int = 1
    jobs: int = 2
    """Processes side by side."""
    case: str | None = None
    """Just this one."""
    mutant: str | None = None
    """Break the store in this way first."""
    scenarios: tuple[str, ...] = ()
    """Only these; empty: all."""
    first: bool = False
    """Stop at the first violation."""

    def enough(self, violations: Sequence[object], deadline: float) -> bool:
        """Whether to begin no further case."""
        return time.monotonic() > deadline or (self.first and bool(violations))

    def deadline(self) -> float:
        """The monotonic time to stop at."""
        return time.monotonic() + (self.seconds if self.seconds is not None else 1e9)

    def fair(self, deadline: float) -> float:
        """The deadline, put off where finding the cases left no time to try some."""
        return max(deadline, time.monotonic() + _FAIR_S)


class Violation(NamedTuple):
    """A broken promise."""

    case: str
    what: str


class Outcome(NamedTuple):
    """What came of a suite."""

    tried: int
    violations: list[Violation]
    notes: str = ""

    def line(self, name: str) -> str:
        """``N tried, M violations``, and how to repeat the first of them."""
        notes = f" ({self.notes})" if self.notes else ""
        text = f"{name}: {self.tried:,} tried, {len(self.violations):,} violations{notes}"
        for violation in self.violations[:5]:
            text += (
                f"\n  {violation.what}\n    python -m tests.crash {name} --case '{violation.case}'"
            )
        return text


Part = tuple[int, list[Violation]]
"""How many cases a part of a suite tried, and what they broke."""


def spread(plan: Plan, run: Callable[..., Part], parts: Sequence[tuple[object, ...]]) -> Part:
    """Run the parts of a suite in processes side by side; what they give, added up.

    Where the first violation is enough, no further part is begun after it.
    """
    tried = 0
    violations: list[Violation] = []
    with ProcessPoolExecutor(plan.jobs, mp_context=get_context("fork")) as pool:
        for done in as_completed([pool.submit(run, *part) for part in parts]):
            count, found = done.result()
            tried += count
            violations += found
            if plan.first and violations:
                pool.shutdown(wait=False, cancel_futures=True)
                break
    return tried, violations


class Suite(NamedTuple):
    """A row of the table."""

    name: str
    run: Callable[[Plan], Outcome]
    title: str
    """For the report: what is done to the store."""
    share: Plan
    """What `make test` runs of it."""
    whole: Plan
    """What `make crash` runs of it."""


def chosen(cases: Sequence[T], plan: Plan) -> list[T]:
    """The plan's share of the cases: all in order, or a sample drawn by its seed.

    Where the first violation is enough, they come in an order drawn by the seed: the cases that
    tell most, after an acknowledgement, are the last of a scenario.
    """
    if plan.first:
        return random.Random(plan.seed).sample(cases, min(len(cases), plan.limit or len(cases)))
    if plan.limit is None or plan.limit >= len(cases):
        return list(cases)
    places = random.Random(plan.seed).sample(range(len(cases)), plan.limit)
    return [cases[place] for place in sorted(places)]
