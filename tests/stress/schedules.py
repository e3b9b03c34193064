"""Scenes of some actors, each played by many schedules, in processes side by side.

A case is a scene and a schedule: ``commit-delete:7@1,12@0`` lets actor 1 go on before step 7 and
actor 0 before step 12. First come all schedules of few switches, then random ones of more.
"""

from __future__ import annotations

import itertools
import pickle
import random
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from contentdb.local import layout
from contentdb.local.upkeep import doubts
from tests.crash.suite import Outcome, Plan, Violation
from tests.stress.crew import crew, place
from tests.stress.stepping import seam

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.stress.stepping import Switch

__all__ = ["Theatre", "in_mutant", "one_shard", "perform"]

_PROGRAM: Final = """
import importlib, pickle, sys
from tests.crash import mutants
plan, module, name = pickle.loads(sys.stdin.buffer.read())
mutants.apply(plan.mutant)
suite = getattr(importlib.import_module(module), name)
sys.stdout.buffer.write(pickle.dumps(suite(plan._replace(mutant=None))))
"""


class Theatre(Protocol):
    """A store that scenes are played on, one after the other."""

    def play(self, name: str, switches: tuple[Switch, ...]) -> tuple[list[str], int]:
        """Play a scene by a schedule; return what was wrong, and its steps."""
        ...


@contextmanager
def one_shard(name: str) -> Iterator[None]:
    """Let prunes, verifies and reindexes look into one shard instead of 256.

    And let them not wait: a commit that was stopped here for longer than a minute must lose as
    little.
    """
    kept, grace_s = layout.SHARDS, doubts.GRACE_S
    layout.SHARDS = (name,)  # type: ignore[misc]  # for a while
    doubts.GRACE_S = 0  # type: ignore[misc]  # for a while
    try:
        yield
    finally:
        doubts.GRACE_S = grace_s  # type: ignore[misc]  # for good
        layout.SHARDS = kept  # type: ignore[misc]  # for good


def _few_switches(steps: int, actors: int) -> Iterator[tuple[Switch, ...]]:
    """All schedules of no, one and two switches."""
    yield ()
    moves = list(itertools.product(range(steps + 1), range(actors)))
    yield from ((move,) for move in moves)
    for one, other in itertools.combinations(moves, 2):
        if one[0] < other[0]:
            yield (one, other)


def _many_switches(rng: random.Random, steps: int, actors: int) -> tuple[Switch, ...]:
    count = min(rng.choice((3, 4, 5, 7, 10)), steps)
    places = sorted(rng.sample(range(steps + 1), count))
    return tuple((step, rng.randrange(actors)) for step in places)


def _schedules(
    steps: int, actors: int, count: int, rng: random.Random, *, mixed: bool
) -> Iterator[tuple[Switch, ...]]:
    """First few switches, in their order unless ``mixed``; then random schedules of more."""
    few = list(_few_switches(steps, actors))
    if mixed or len(few) > count:
        few = [few[0], *rng.sample(few[1:], min(count, len(few)) - 1)]
    yield from few
    for _ in range(count - len(few)):
        yield _many_switches(rng, steps, actors)


def _said(name: str, switches: tuple[Switch, ...]) -> str:
    return f"{name}:{','.join(f'{step}@{actor}' for step, actor in switches)}"


def _heard(case: str) -> tuple[str, tuple[Switch, ...]]:
    name, _, text = case.partition(":")
    moves = [move.split("@") for move in text.split(",") if move]
    return name, tuple((int(step), int(actor)) for step, actor in moves)


def _some(
    root: Path,
    names: list[str],
    actors: Mapping[str, int],
    make: Callable[[Path, ExitStack], Theatre],
    each: int,
    plan: Plan,
) -> tuple[int, list[Violation]]:
    tried = 0
    found: list[Violation] = []
    deadline = plan.deadline()
    for place_of, name in enumerate(names):
        with ExitStack() as leave:
            theatre = make(root / f"{place_of}", leave)
            leave.enter_context(seam())
            _, steps = theatre.play(name, ())
            rng = random.Random(f"{plan.seed} {name}")
            steps += steps // 2  # where actors meet, they take more of them
            for switches in _schedules(steps, actors[name], each, rng, mixed=plan.first):
                wrong, _ = theatre.play(name, switches)
                tried += 1
                found += [Violation(_said(name, switches), what) for what in wrong]
                if plan.enough(found, deadline):
                    return tried, found
    return tried, found


def perform(
    plan: Plan,
    title: str,
    actors: Mapping[str, int],
    make: Callable[[Path, ExitStack], Theatre],
) -> Outcome:
    """Play every scene by many schedules.

    Args:
        plan: How much of it.
        title: The suite's name.
        actors: How many there are in each scene.
        make: Makes a theatre in a folder, and notes what is to be undone at its end.
    """
    with place(title) as folder:
        if plan.case is not None:
            name, switches = _heard(plan.case)
            with ExitStack() as leave:
                theatre = make(folder / "store", leave)
                leave.enter_context(seam())
                wrong, steps = theatre.play(name, switches)
            return Outcome(1, [Violation(plan.case, what) for what in wrong], f"{steps} steps")
        names = list(plan.scenarios or actors)
        each = max(1, (plan.limit or 100_000) // len(names))
        parts = [
            partial(_some, folder / f"{job}", names[job :: plan.jobs], actors, make, each, plan)
            for job in range(plan.jobs)
        ]
        answers = crew(parts)
    found = [violation for _, violations in answers for violation in violations]
    notes = f"{len(names)} scenes, all schedules of up to two switches first"
    return Outcome(sum(tried for tried, _ in answers), found, notes)


def in_mutant(plan: Plan, suite: Callable[[Plan], Outcome]) -> Outcome:
    """Run a suite in a process of its own: a mutant is made when the store is imported."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        input=pickle.dumps((plan, suite.__module__, suite.__name__)),
        capture_output=True,
        check=True,
    )
    outcome: Outcome = pickle.loads(done.stdout)  # noqa: S301 - our own child's
    return outcome
