"""A model of collection, in which every order of the steps of several processes is tried.

Two blobs, a parent P with a label that refers to a child C, and processes that pull, add, tag and
collect. Steps under the write lock are atomic, but for a burial: renaming the file and dropping the
row are two, with the lock held. The rules are those of docs/design.md; a mutant leaves one out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MUTANTS", "SCENARIOS", "Explored", "explore"]

END: Final = 99
LIVE, TOMB, NONE = "live", "tombstone", "none"


class Store(dict[str, Any]):
    """The store: file, row, lease, grace and queue of each blob; the tag, the label, the lock."""


Local = dict[str, Any]
Place = tuple[int, tuple[tuple[str, Any], ...]]
"""Where a process is, and what it remembers."""
State = tuple[tuple[Any, ...], tuple[Place, ...]]


class Step(NamedTuple):
    """What a process does next, and whether it waits for the write lock."""

    act: Callable[[Store, Local], int]
    locks: bool = True


class Explored(NamedTuple):
    """How many states there are, and what is wrong in one, if anything."""

    states: int
    fault: str | None


def store(**changes: object) -> Store:
    """P and C are stored, P refers to C, nothing keeps them, and P is in the queue."""
    made = Store(
        fP=True, fC=True, rP=LIVE, rC=LIVE, label=True, tag=False, lP=0, lC=0, aP=False, aC=False,
        qP=1, qC=0, n=1, lock=-1, told=False,
    )  # fmt: skip
    made.update(changes)
    return made


EMPTY: Final = {"fP": False, "fC": False, "rP": NONE, "rC": NONE, "label": False, "qP": 0}


# -- the rules -------------------------------------------------------------------------------------


def queue(s: Store, x: str, mutant: str) -> None:
    """W5: the time always changes."""
    if mutant == "queued only where it is not" and s["q" + x]:
        return
    s["n"] += 1
    s["q" + x] = s["n"]


def refresh(s: Store, x: str) -> None:
    """W1, W2: it is fresh, and in the queue for when that ends."""
    s["a" + x] = True
    s["n"] += 1
    s["q" + x] = s["n"]


def is_root(s: Store, x: str) -> bool:
    """Whether it is kept by itself."""
    return bool(s["l" + x] or s["a" + x] or (x == "P" and s["tag"]))


def is_kept(s: Store, x: str) -> bool:
    """Whether a walk up meets a root."""
    if is_root(s, x):
        return True
    return x == "C" and bool(s["label"]) and s["rP"] == LIVE and is_root(s, "P")


def fault_of(s: Store) -> str | None:
    """What must never be."""
    for x in "PC":
        if s["r" + x] == LIVE and not s["f" + x]:
            return f"a live row of {x} without its file"
        if s["l" + x] and s["r" + x] != LIVE:
            return f"{x} of a lease is gone"
    if s["tag"] and s["rP"] != LIVE:
        return "a tag leads to nothing"
    if s["rP"] == LIVE and s["label"] and (s["tag"] or s["lP"]) and s["rC"] != LIVE:
        return "a kept parent has lost its child"
    if s["told"] and s["rC"] != LIVE:
        return "C is gone within its grace"
    return None


# -- processes -------------------------------------------------------------------------------------


def collector(order: str, mutant: str, *, dies: bool = False) -> list[Step]:
    """R1 to R5 of one blob after the other; with ``dies`` it may end after each step."""
    steps: list[Step] = []
    for x in order:
        steps += _of_one(x, mutant, len(steps))
    if dies:
        steps = [Step(_or_dies(step.act), step.locks) for step in steps]
    return steps


def _or_dies(act: Callable[[Store, Local], int]) -> Callable[[Store, Local], int]:
    def run(s: Store, here: Local) -> int:
        after = act(s, here)
        return END if here.get("choice") == 1 and s["lock"] < 0 else after

    return run


def _of_one(x: str, mutant: str, first: int) -> list[Step]:  # noqa: C901 - one function a step
    last = first + 6

    def review(s: Store, here: Local) -> int:  # R1
        if not s["q" + x] or s["r" + x] != LIVE or s["a" + x]:
            return last
        here["seen"] = s["q" + x]
        here["garbage"] = not is_kept(s, x)
        return first + 2 if here["garbage"] else first + 1

    def dequeue(s: Store, here: Local) -> int:  # R2
        if mutant == "taken out without a compare" or s["q" + x] == here["seen"]:
            s["q" + x] = 0
        return last

    def entomb(s: Store, here: Local) -> int:  # R3
        going = here["garbage"] if mutant == "asked only before the lock" else not is_kept(s, x)
        if s["r" + x] != LIVE or not going:
            return last
        above = x == "C" and s["label"] and s["rP"] == LIVE
        for one in "PC" if above and mutant != "a parent stays without its child" else x:
            s["r" + one], s["q" + one] = TOMB, 0
        return first + 3

    def let_go(s: Store, _here: Local) -> int:  # R4, of P alone: C refers to nothing
        if s["rP"] == TOMB and s["label"]:
            s["label"] = False
            if mutant != "children not queued" and s["rC"] == LIVE:
                queue(s, "C", mutant)
        return first + 4

    def rename(s: Store, here: Local) -> int:  # D2
        here["buried"] = [one for one in "PC" if _may_be_buried(s, one, mutant)]
        if not here["buried"]:
            return last
        s["lock"] = here["me"]
        for one in here["buried"]:
            s["f" + one] = False
        return first + 5

    def drop(s: Store, here: Local) -> int:
        for one in here["buried"]:
            s["r" + one] = NONE
        s["lock"] = -1
        return last

    return [
        Step(review, locks=False), Step(dequeue), Step(entomb), Step(let_go), Step(rename),
        Step(drop, locks=False),
    ]  # fmt: skip


def _may_be_buried(s: Store, x: str, mutant: str) -> bool:
    if mutant == "buried without a look" and x == "C":
        return bool(s["rC"] != NONE)
    return s["r" + x] == TOMB and not (x == "P" and s["label"])


def opening(mutant: str) -> list[Step]:
    """What the next opening does of a run that was killed: R4, then D2."""
    return _of_one("P", mutant, -3)[3:]


def puller(mutant: str) -> list[Step]:  # noqa: C901 - one function a step
    """Under a lease: keep C or store it, store P with its label, tag P, end the lease."""

    def keep(s: Store, here: Local) -> int:
        here["had"] = s["rC"] == LIVE
        if mutant == "asked and kept in two steps":
            return 1
        if here["had"]:
            s["lC"] += 1
            refresh(s, "C")
        return 4 if here["had"] else 2

    def keep_later(s: Store, here: Local) -> int:
        if here["had"]:
            s["lC"] += 1
        return 4 if here["had"] else 2

    def name_child(s: Store, _here: Local) -> int:
        s["fC"] = True
        return 3

    def record_child(s: Store, _here: Local) -> int:
        if not s["fC"] and mutant != "no look at the file":
            return 2
        if s["rC"] != LIVE or mutant != "met without the lease":
            s["lC"] += 1
        s["rC"] = LIVE
        refresh(s, "C")
        return 4

    def name_parent(s: Store, _here: Local) -> int:
        s["fP"] = True
        return 5

    def record_parent(s: Store, _here: Local) -> int:
        if not s["fP"]:
            return 4
        if s["rP"] == TOMB and s["label"] and s["rC"] == LIVE:  # W6
            queue(s, "C", mutant)
        s["rP"], s["label"] = LIVE, True
        s["lP"] += 1
        refresh(s, "P")
        return 6

    def tag(s: Store, _here: Local) -> int:
        s["tag"] = s["tag"] or s["rP"] == LIVE
        return 7

    def release(s: Store, _here: Local) -> int:
        for x in "CP":
            s["l" + x] = max(0, s["l" + x] - 1)
            if mutant != "the end of a lease queues nothing":
                queue(s, x, mutant)
        return END

    return [
        Step(keep), Step(keep_later), Step(name_child, locks=False), Step(record_child),
        Step(name_parent, locks=False), Step(record_parent), Step(tag), Step(release),
    ]  # fmt: skip


def adder(mutant: str) -> list[Step]:
    """Without a lease: store C, or find it stored."""

    def name(s: Store, _here: Local) -> int:
        s["fC"] = True
        return 1

    def record(s: Store, _here: Local) -> int:
        if not s["fC"]:
            return 0
        s["told"] = True
        if s["rC"] != LIVE or mutant != "met without grace":
            refresh(s, "C")
        s["rC"] = LIVE
        return END

    return [Step(name, locks=False), Step(record)]


def replacer(mutant: str) -> list[Step]:
    """Store P without the label."""

    def name(s: Store, _here: Local) -> int:
        s["fP"] = True
        return 1

    def record(s: Store, _here: Local) -> int:
        if not s["fP"]:
            return 0
        if s["rP"] != LIVE and s["label"]:  # W6
            s["label"] = False
            if mutant != "revived without a look at its old label" and s["rC"] == LIVE:
                queue(s, "C", mutant)
        s["rP"] = LIVE
        refresh(s, "P")
        return END

    return [Step(name, locks=False), Step(record)]


def tagger(mutant: str) -> list[Step]:
    """Tag P, if it is there."""

    def tag(s: Store, _here: Local) -> int:
        s["tag"] = s["tag"] or s["rP"] == LIVE or mutant == "tagged without a look"
        return END

    return [Step(tag)]


def untagger(mutant: str) -> list[Step]:
    """Untag P."""

    def untag(s: Store, _here: Local) -> int:
        if s["tag"]:
            s["tag"] = False
            if mutant != "untag queues nothing":
                queue(s, "P", mutant)
        return END

    return [Step(untag)]


def clock(_mutant: str) -> list[Step]:
    """Let all grace end."""

    def end(s: Store, _here: Local) -> int:
        s["aC"] = s["aP"] = s["told"] = False
        return END

    return [Step(end, locks=False)]


# -- all orders ------------------------------------------------------------------------------------


def explore(name: str, mutant: str = "") -> Explored:
    """Try every order of the steps; stop at the first fault."""
    scenario = SCENARIOS[name]
    processes = scenario.processes(mutant)
    keys = sorted(scenario.start)
    begin: State = (
        tuple(scenario.start[key] for key in keys),
        tuple((0, ()) for _ in processes),
    )
    seen, left = {begin}, [begin]
    while left:
        values, places = left.pop()
        moved = False
        for me, (at, here) in enumerate(places):
            if at >= len(processes[me]):
                continue
            step = processes[me][at]
            if step.locks and values[keys.index("lock")] != -1:
                continue
            for choice in (0, 1) if scenario.dies == me else (0,):
                moved = True
                s = Store(zip(keys, values, strict=True))
                local = dict(here) | {"me": me, "choice": choice}
                after = step.act(s, local)
                if fault := fault_of(s):
                    return Explored(len(seen), fault)
                kept: Local = {k: local[k] for k in ("seen", "garbage", "had") if k in local}
                if "buried" in local:
                    kept["buried"] = tuple(local["buried"])
                place = (after, tuple(sorted(kept.items())) if after < END else ())
                state: State = (
                    tuple(s[key] for key in keys),
                    (*places[:me], place, *places[me + 1 :]),
                )
                if state not in seen:
                    seen.add(state)
                    left.append(state)
        if not moved and (fault := _leak(Store(zip(keys, values, strict=True)), mutant)):
            return Explored(len(seen), fault)
    return Explored(len(seen), None)


def _leak(s: Store, mutant: str) -> str | None:
    """Collect to the end, once all grace is over and the store was opened: nothing may be left."""
    s["aC"] = s["aP"] = s["told"] = False
    opened: Local = {"me": 0, "buried": []}
    for step in opening(mutant):
        step.act(s, opened)
    here: Local = {"me": 0, "choice": 0}
    for _ in range(4):
        steps, at = collector("PC", mutant), 0
        while at < len(steps):
            at = steps[at].act(s, here)
            if fault := fault_of(s):
                return fault
    for x in "PC":
        if s["r" + x] == LIVE and not is_kept(s, x):
            return f"nothing keeps {x}, and no collection finds it"
    return None


class Scenario(NamedTuple):
    """Processes, and the store that they meet."""

    processes: Callable[[str], list[list[Step]]]
    start: Store
    dies: int = -1
    """The process that may be killed after each of its steps."""


SCENARIOS: Final = {
    "garbage, a pull, two collectors": Scenario(
        lambda m: [collector("PCPC", m), collector("CPC", m), puller(m)], store()
    ),
    "garbage, a pull, an untag": Scenario(
        lambda m: [collector("PCPC", m), puller(m), untagger(m)], store()
    ),
    "nothing, two pulls, an untag": Scenario(
        lambda m: [collector("PCP", m), collector("C", m), puller(m), puller(m), untagger(m)],
        store(**EMPTY),
    ),
    "nothing, two pulls": Scenario(
        lambda m: [collector("CPC", m), puller(m), puller(m)], store(**EMPTY)
    ),
    "tagged, an untag, a pull": Scenario(
        lambda m: [collector("PCPC", m), untagger(m), puller(m)], store(tag=True, qP=0)
    ),
    "tagged, untags and a tag, two collectors": Scenario(
        lambda m: [collector("PC", m), collector("P", m), untagger(m), tagger(m), untagger(m)],
        store(tag=True, qP=1, qC=1),
    ),
    "garbage whose child is due first, a tag": Scenario(
        lambda m: [collector("CP", m), tagger(m)], store(qC=1)
    ),
    "garbage, an add, two collectors": Scenario(
        lambda m: [collector("PCPC", m), collector("CPC", m), adder(m)], store(qC=1)
    ),
    "garbage, an add, a clock": Scenario(
        lambda m: [collector("PCPC", m), adder(m), clock(m)], store(qC=1)
    ),
    "nothing, an add, a clock, a pull": Scenario(
        lambda m: [collector("C", m), puller(m), adder(m), clock(m)], store(**EMPTY)
    ),
    "nothing, a pull, a clock, an untag": Scenario(
        lambda m: [collector("PPPC", m), puller(m), clock(m), untagger(m)], store(**EMPTY)
    ),
    "a killed collector, a commit without the label": Scenario(
        lambda m: [collector("P", m, dies=True), replacer(m), clock(m)], store(), dies=0
    ),
    "a killed collector, a pull": Scenario(
        lambda m: [collector("PC", m, dies=True), puller(m), clock(m)], store(qC=0), dies=0
    ),
    "a killed collector, another, an untag": Scenario(
        lambda m: [collector("PC", m, dies=True), collector("PC", m), untagger(m), tagger(m)],
        store(tag=True, qP=1),
        dies=0,
    ),
}  # fmt: skip

MUTANTS: Final = (
    "asked only before the lock", "asked and kept in two steps", "met without the lease",
    "met without grace", "children not queued", "the end of a lease queues nothing",
    "untag queues nothing", "tagged without a look", "buried without a look",
    "no look at the file", "taken out without a compare", "queued only where it is not",
    "revived without a look at its old label", "a parent stays without its child",
)  # fmt: skip
