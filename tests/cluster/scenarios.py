"""The scenes in which the model is explored, and the rules that it can leave out."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any, Final

from tests.cluster.actors import (
    aborter,
    adder,
    deleter,
    emptier,
    heart,
    keeper,
    pruner,
    reader,
    reindexer,
    writer,
)  # fmt: skip
from tests.cluster.collectors import collector, leased, untagger
from tests.cluster.model import Process, Scenario, World, explore
from tests.crash.suite import Outcome, Plan, Violation

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MUTANTS", "SCENARIOS", "hosts"]

_STORED: Final = World(
    row=frozenset({"8.0"}), listed=frozenset({"a"}), bucket=frozenset({"8.0"}), free=frozenset({8})
)
"""By a session that has ended."""


_QUEUED: Final = _STORED._replace(queue=1, ticks=1)
"""The same, and a collector is to look at it."""


def _scenario(*processes: Process, **more: Any) -> Scenario:  # noqa: ANN401 - a scenario's own
    return Scenario(processes, **more)


SCENARIOS: Final[dict[str, Scenario]] = {
    "two adds, one killed, a delete": _scenario(
        adder(0, dies=True), adder(1), deleter(), emptier(), pruner()
    ),
    "an add that seems dead, a delete": _scenario(
        adder(0, suspected=True), deleter(), emptier(), pruner(), heart(0)
    ),
    "an add whose answer is lost, a delete": _scenario(
        adder(0, suspected=True), deleter(), emptier(), pruner(), lost=True
    ),
    "stored, two adds, a delete": _scenario(
        adder(0), adder(1), deleter(), emptier(), start=_STORED
    ),
    "two namespaces": _scenario(
        adder(0), adder(1, "b"), deleter(),
        deleter("b"), emptier(), late=False,
    ),
    "stored, another namespace": _scenario(
        adder(0, "b"), deleter(), deleter("b"), emptier(), start=_STORED
    ),
    "a writer is killed, the next goes on": _scenario(
        writer(0, dies=True), writer(1), pruner(), emptier(), late=False
    ),
    "a writer seems dead, the next goes on": _scenario(
        writer(0, suspected=True), writer(1), pruner(), late=False
    ),
    "a writer seems dead and comes back, its segment is late": _scenario(
        writer(0, suspected=True), pruner(), heart(0), aborter()
    ),
    "a writer seems dead, an abort, an add": _scenario(
        writer(0, suspected=True), aborter(), adder(1), emptier(),
        late=False,
    ),
    "a writer's answer is lost, the next waits, a delete": _scenario(
        writer(0, suspected=True), writer(1), deleter(), emptier(),
        late=False, lost=True,
    ),
    "readers through a cache, a delete, an add": _scenario(
        reader(), reader(), deleter(), emptier(), adder(0), start=_STORED, late=False
    ),
    "a reader, a delete, a prune": _scenario(
        reader(), deleter(), emptier(), pruner(), start=_STORED
    ),
    "cached, not stored, an add": _scenario(
        reader(), adder(0), start=World(cached=True)
    ),
    "reindex, a delete, an add": _scenario(
        reindexer(), deleter(), emptier(), adder(0), start=_STORED, late=False
    ),
    "two reindexes, a delete": _scenario(
        reindexer(), reindexer(), deleter(), emptier(), late=False,
        start=World(bucket=frozenset({"8.0"}), free=frozenset({8})),
    ),
    "two reindexes, two copies, a delete": _scenario(
        reindexer(), reindexer(), deleter(), emptier(), late=False,
        start=_STORED._replace(bucket=frozenset({"8.0", "8.1"})),
    ),
    "a collector, a lease": _scenario(
        deleter(collects=True), keeper(), adder(0), emptier(),
        start=_STORED,
    ),
    "a collector, a held lease whose process dies": _scenario(
        collector(), leased(dies=True), adder(1), emptier(), start=_QUEUED,
    ),
    "a collector, a held lease whose process seems dead, a prune": _scenario(
        collector(), leased(suspected=True), heart(0), pruner(), start=_QUEUED,
    ),
    "two collectors, a name that goes, a held lease": _scenario(
        collector(), collector(), untagger(), leased(dies=True),
        start=_QUEUED._replace(tagged=frozenset({"a"})),
    ),
    "a collector, another namespace, an add whose answer is lost": _scenario(
        collector(), adder(1, suspected=True), deleter("b"), emptier(), late=False, lost=True,
        start=_QUEUED._replace(listed=frozenset({"a", "b"})),
    ),
}  # fmt: skip

MUTANTS: Final = (
    "one key for each digest", "an object is judged by its age alone",
    "a prune judges without a fence", "a prune judges, then fences",
    "a commit does not look at the fence", "the fence does not wait for a commit",
    "a fenced session comes back", "a commit does not look at its token",
    "a commit that finds the row does not lock it",
    "a commit sent again looks at the trash before it has the lock",
    "the trash forgets a key when its object is deleted",
    "the trash forgets the keys of a session that only seems dead",
    "the trash is emptied without a grace", "a prune does not look at the trash",
    "a prune does not look at ingests", "a segment is listed without a look at the fence",
    "a ref is taken without a look at its holder",
    "a delete does not look at other namespaces",
    "a delete looks at other namespaces before the lock",
    "what is cached counts as stored", "the cache answers before the database",
    "reindex does not look at the trash", "reindex looks at the trash before it has the lock",
    "reindex does not look whether a row names what it throws away",
    "a collector looks at leases before the lock",
    "a lease does not lock what it keeps",
    "a collector asks what keeps a blob before it has its lock",
    "what is kept by a lease does not lock the lease's row",
    "a lease gets what it keeps after the answer that it is stored",
    "the end of a lease queues nothing", "who takes a name away queues nothing",
    "what is kept leaves the queue whatever its time is by then",
)  # fmt: skip


def _troupes() -> Iterator[tuple[str, Scenario]]:
    """Every pair of those that bring content, with every two of those that do not."""
    bringers = {
        "add": adder(0), "killed add": adder(0, dies=True), "lost add": adder(0, suspected=True),
        "killed writer": writer(0, dies=True), "lost writer": writer(0, suspected=True),
    }  # fmt: skip
    seconds = {"add": adder(1), "other add": adder(1, "b"), "writer": writer(1)}
    others = {
        "delete": deleter(), "other delete": deleter("b"), "empty": emptier(), "prune": pruner(),
        "abort": aborter(), "read": reader(), "heart": heart(0),
    }  # fmt: skip
    for first, one in bringers.items():
        for second, two in seconds.items():
            for chosen in combinations(others, 2):
                names = "+".join([first, second, *chosen])
                cast = (one, two, *(others[name] for name in chosen))
                yield f"{names}:late", Scenario(cast)
                yield f"{names}:lost", Scenario(cast, _STORED, late=False, lost=True)


def hosts(plan: Plan) -> Outcome:
    """Explore the named scenes; the whole row also every troupe, and each rule left out."""
    cases = [*SCENARIOS.items(), *(() if plan.limit else _troupes())]
    if plan.case is not None:
        cases = [(name, scene) for name, scene in [*cases, *_troupes()] if name == plan.case]
    states = 0
    found: list[Violation] = []
    deadline = plan.deadline()
    for name, scene in cases:
        explored = explore(scene, plan.mutant or "")
        states += explored.states
        found += [Violation(name, explored.fault)] if explored.fault else []
        if plan.enough(found, deadline):
            break
    if plan.limit is None and plan.case is None:
        found += [Violation(name, "no scene needs this rule") for name in _needless()]
    return Outcome(states, found, f"all states of {len(cases):,} scenes, {len(MUTANTS)} mutants")


def _needless() -> list[str]:
    return [
        name
        for name in MUTANTS
        if not any(explore(scene, name).fault for scene in SCENARIOS.values())
    ]
