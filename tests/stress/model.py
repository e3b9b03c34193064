"""The protocol as a model, of which every schedule is looked at.

A step is one call that others can see the effect of. A write transaction is the steps from taking
the lock to its commit: what it reads and changes in the index becomes visible at once, but files
change at each step. The model is small enough that all its states are visited; the schedules are
the ways through them, counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tests.crash.suite import Outcome, Plan, Violation
from tests.stress.order import ABSENT, BAD, LIVE, MARKED, ORPHAN, Call, outcomes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["PROGRAMS", "TROUPES", "Explored", "explore", "schedules"]


class World(NamedTuple):
    """All that there is at one moment. A file is whole or not, and has a number of its own."""

    file: tuple[bool, int] | None
    row: str | None
    lock: int | None
    made: int
    """Files so far; each is another."""
    at: tuple[str, ...]
    """Where each actor stands in its program."""
    kept: tuple[object, ...]
    """What each remembers."""
    told: tuple[str, ...]
    log: tuple[tuple[int, bool], ...]
    """Who began (False) and who ended (True), in order."""


Step = "Callable[[World, int], World | None]"
"""The world after an actor's step; None while it must wait."""


def _to(world: World, me: int, place: str, **changes: Any) -> World:  # noqa: ANN401 - of a field
    at = (*world.at[:me], place, *world.at[me + 1 :])
    return world._replace(at=at, **changes)


def _end(world: World, me: int, told: str, **changes: Any) -> World:  # noqa: ANN401 - of a field
    said = (*world.told[:me], told, *world.told[me + 1 :])
    return _to(world, me, "", told=said, log=(*world.log, (me, True)), **changes)


def _keep(world: World, me: int, value: object) -> tuple[object, ...]:
    return (*world.kept[:me], value, *world.kept[me + 1 :])


def _lock(place: str) -> Callable[[World, int], World | None]:
    def step(world: World, me: int) -> World | None:
        return None if world.lock is not None else _to(world, me, place, lock=me)

    return step


# -- a commit: link, then under the lock look whether the file is there, then the row ------------

_RELIES: Final = "relies on the row"


def _adopted(number: int) -> str:
    """A live row that upkeep made: by the file's time its commit knows it."""
    return f"adopted {number}"


def _is_live(row: str | None) -> bool:
    return row is not None and (row == "live" or row.startswith("adopted"))


def _link(world: World, me: int) -> World:
    if world.file is None:
        return _replace_file(world, me)
    return _to(world, me, "is it whole")


def _ask_row(world: World, me: int) -> World:
    """A row vouches for a file of its time; one that was written to has another."""
    if world.file is None:
        return _to(world, me, "replace")
    if _is_live(world.row) and world.file[0]:
        return _to(world, me, "lock", kept=_keep(world, me, _RELIES))
    return _to(world, me, "read it")


def _read_it(world: World, me: int) -> World:
    return _to(world, me, "lock" if world.file is not None and world.file[0] else "replace")


def _replace_file(world: World, me: int) -> World:
    return _to(
        world, me, "lock", file=(True, world.made), made=world.made + 1,
        kept=_keep(world, me, world.made),
    )  # fmt: skip


def _look(world: World, me: int) -> World:
    relies = world.kept[me] == _RELIES
    if world.file is None or (relies and not _is_live(world.row)):
        return _to(world, me, "link", lock=None, kept=_keep(world, me, None))
    return _to(world, me, "record")


def _record(world: World, me: int) -> World:
    mine = world.kept[me]
    own = isinstance(mine, int) and world.row == _adopted(mine)
    if _is_live(world.row) and not own:
        return _end(world, me, "exists", lock=None)
    return _end(world, me, "stored", row="live", lock=None)


_COMMIT: Final = {
    "link": _link,
    "is it whole": _ask_row,
    "read it": _read_it,
    "replace": _replace_file,
    "lock": _lock("look"),
    "look": _look,
    "record": _record,
}

# -- a deletion: a tombstone, then under the lock again the file, then the row ---------------------


def _entomb(world: World, me: int) -> World:
    if world.row in {None, "dead"}:
        return _end(world, me, "absent", lock=None)
    return _to(world, me, "lock again", row="dead", lock=None)


def _still_dead(world: World, me: int) -> World:
    if world.row != "dead":
        return _end(world, me, "done", lock=None)
    return _to(world, me, "move")


def _move(world: World, me: int) -> World:
    return _to(world, me, "bury", file=None)


def _bury(world: World, me: int) -> World:
    return _end(world, me, "done", row=None, lock=None)


_DELETE: Final = {
    "lock": _lock("entomb"),
    "entomb": _entomb,
    "lock again": _lock("still dead"),
    "still dead": _still_dead,
    "move": _move,
    "bury": _bury,
}

# -- a prune of orphans ----------------------------------------------------------------------------


def _see_orphan(world: World, me: int) -> World:
    return _end(world, me, "done") if world.file is None else _to(world, me, "claimed")


def _claimed(world: World, me: int) -> World:
    return _end(world, me, "done") if world.row is not None else _to(world, me, "lock")


def _claimed_still(world: World, me: int) -> World:
    if world.row is not None:
        return _end(world, me, "done", lock=None)
    return _to(world, me, "move")


def _moved_away(world: World, me: int) -> World:
    return _end(world, me, "done", file=None, lock=None)


_PRUNE: Final = {
    "see": _see_orphan,
    "claimed": _claimed,
    "lock": _lock("claimed still"),
    "claimed still": _claimed_still,
    "move": _moved_away,
}

# -- adopting an orphan ----------------------------------------------------------------------------


def _find_orphan(world: World, me: int) -> World:
    return _end(world, me, "done") if world.file is None else _to(world, me, "claimed")


def _adopt_claimed(world: World, me: int) -> World:
    return _end(world, me, "done") if world.row is not None else _to(world, me, "read")


def _read_orphan(world: World, me: int) -> World:
    whole = world.file is not None and world.file[0]
    return _to(world, me, "lock") if whole else _end(world, me, "done")


def _adopt_look(world: World, me: int) -> World:
    if world.file is None or world.row == "dead":
        return _end(world, me, "done", lock=None)
    return _to(world, me, "record")


def _adopt_record(world: World, me: int) -> World:
    if world.row not in {None, "damaged"} or world.file is None:
        return _end(world, me, "done", lock=None)
    return _end(world, me, "done", row=_adopted(world.file[1]), lock=None)


_ADOPT: Final = {
    "find": _find_orphan,
    "claimed": _adopt_claimed,
    "read": _read_orphan,
    "lock": _lock("look"),
    "look": _adopt_look,
    "record": _adopt_record,
}

# -- quarantine of a damaged file ------------------------------------------------------------------


def _identify(world: World, me: int) -> World:
    if world.file is None:
        return _end(world, me, "done")
    return _to(world, me, "read", kept=_keep(world, me, world.file[1]))


def _why_damaged(world: World, me: int) -> World:
    if world.file is not None and world.file[0]:
        return _end(world, me, "done")
    return _to(world, me, "lock")


def _same_still(world: World, me: int) -> World:
    if world.file is None or world.file[1] != world.kept[me]:
        return _end(world, me, "done", lock=None)
    return _to(world, me, "mark", file=None)


def _mark(world: World, me: int) -> World:
    row = "damaged" if _is_live(world.row) else world.row
    return _end(world, me, "done", row=row, lock=None)


_QUARANTINE: Final = {
    "identify": _identify,
    "read": _why_damaged,
    "lock": _lock("same still"),
    "same still": _same_still,
    "mark": _mark,
}

# -- what must not be: shown to be seen ------------------------------------------------------------


def _row_first(world: World, me: int) -> World:
    if not _is_live(world.row):
        return _end(world, me, "absent", lock=None)
    return _to(world, me, "unlink", row=None, lock=None)


def _unlink_after(world: World, me: int) -> World:
    return _end(world, me, "done", file=None)


_NAIVE_DELETE: Final = {"lock": _lock("row"), "row": _row_first, "unlink": _unlink_after}
_BLIND_COMMIT: Final = _COMMIT | {"lock": _lock("record")}


def _adopt_as_any(world: World, me: int) -> World:
    """The row is like that of any commit, so that of this very file takes it for another's."""
    return _end(world, me, "done", row="live", lock=None)


_CARELESS_ADOPT: Final = _ADOPT | {"record": _adopt_as_any}

PROGRAMS: Final[dict[str, tuple[str, dict[str, Callable[[World, int], World | None]]]]] = {
    "commit": ("commit", _COMMIT),
    "delete": ("delete", _DELETE),
    "prune": ("upkeep", _PRUNE),
    "adopt": ("upkeep", _ADOPT),
    "quarantine": ("upkeep", _QUARANTINE),
    "naive delete": ("delete", _NAIVE_DELETE),
    "blind commit": ("commit", _BLIND_COMMIT),
    "careless adopt": ("upkeep", _CARELESS_ADOPT),
}

_BEGINNINGS: Final[dict[str, tuple[tuple[bool, int] | None, str | None]]] = {
    ABSENT: (None, None),
    ORPHAN: ((True, 0), None),
    LIVE: ((True, 0), "live"),
    BAD: ((False, 0), "live"),
    MARKED: (None, "damaged"),
}

TROUPES: Final[tuple[tuple[str, ...], ...]] = (
    ("commit", "commit", "delete"),
    ("commit", "delete", "delete"),
    ("commit", "commit", "prune"),
    ("commit", "commit", "adopt"),
    ("commit", "delete", "prune"),
    ("commit", "delete", "adopt"),
    ("commit", "delete", "quarantine"),
    ("commit", "quarantine", "quarantine"),
    ("delete", "adopt", "prune"),
    ("commit", "commit", "delete", "prune"),
    ("commit", "commit", "delete", "adopt"),
    ("commit", "delete", "prune", "adopt"),
    ("commit", "commit", "delete", "quarantine"),
)


class Explored(NamedTuple):
    """What came of all schedules of some actors."""

    schedules: int
    states: int
    violations: list[str]


def explore(troupe: tuple[str, ...], beginning: str) -> Explored:
    """Visit every state that the actors can bring about, and count the ways to the end."""
    file, row = _BEGINNINGS[beginning]
    first = World(
        file, row, None, 1, tuple(next(iter(PROGRAMS[name][1])) for name in troupe),
        (None,) * len(troupe), ("",) * len(troupe), (),
    )  # fmt: skip
    ways: dict[World, int] = {}
    found: list[str] = []
    stack: list[tuple[World, list[World]]] = [(first, list(_following(first, troupe)))]
    while stack:
        world, left = stack[-1]
        if left:
            following = left.pop()
            if following not in ways:
                ways[following] = 0
                stack.append((following, list(_following(following, troupe))))
            continue
        stack.pop()
        if all(not place for place in world.at):
            ways[world] = 1
            found += _judged(world, troupe, beginning)
        else:
            ways[world] = sum(ways[following] for following in _following(world, troupe))
            if beginning not in {BAD, MARKED}:
                found += _watched(world)
            if not ways[world] and world.lock is None and not list(_following(world, troupe)):
                found.append(f"nobody can go on: {world}")
    return Explored(ways[first], len(ways), found)


def _following(world: World, troupe: tuple[str, ...]) -> Iterator[World]:
    for me, place in enumerate(world.at):
        if not place:
            continue
        _, program = PROGRAMS[troupe[me]]
        begins = all(who != me for who, _ in world.log)
        started = world._replace(log=(*world.log, (me, False))) if begins else world
        following = program[place](started, me)
        if following is not None:
            yield following


def _watched(world: World) -> Iterator[str]:
    if _is_live(world.row) and (world.file is None or not world.file[0]):
        yield f"a live row without its file: {world}"


def _judged(world: World, troupe: tuple[str, ...], beginning: str) -> Iterator[str]:
    began = {who: at for at, (who, ended) in enumerate(world.log) if not ended}
    ended = {who: at for at, (who, over) in enumerate(world.log) if over}
    calls = [
        Call(PROGRAMS[name][0], began[me], ended[me], world.told[me])
        for me, name in enumerate(troupe)
    ]
    ends = outcomes(calls, beginning)
    if _state(world) not in ends:
        yield f"{_state(world)} in the end, though {ends or 'no order'} explains {calls}"


def _state(world: World) -> str:
    if world.row is None:
        return ABSENT if world.file is None else ORPHAN
    if world.row == "damaged":
        return MARKED if world.file is None else "marked, with a file"
    if _is_live(world.row) and world.file is not None:
        return LIVE if world.file[0] else BAD
    return f"row {world.row}, file {world.file}"


def schedules(plan: Plan) -> Outcome:
    """Explore every troupe from every beginning."""
    cases: list[tuple[tuple[str, ...], str]] = [
        (troupe, beginning) for troupe in TROUPES for beginning in _BEGINNINGS
    ]
    if plan.case is not None:
        names, beginning = plan.case.split(":")
        cases = [(tuple(names.split("+")), beginning)]
    elif plan.limit is not None:
        cases = [case for case in cases if len(case[0]) <= _ACTORS_OF_SHARE]
    ways = states = 0
    found: list[Violation] = []
    deadline = plan.deadline()
    for troupe, beginning in cases:
        explored = explore(troupe, beginning)
        ways += explored.schedules
        states += explored.states
        case = f"{'+'.join(troupe)}:{beginning}"
        found += [Violation(case, what) for what in explored.violations[:3]]
        if plan.enough(found, deadline):
            break
    return Outcome(ways, found, f"all schedules of {len(cases)} troupes, {states:,} states")


_ACTORS_OF_SHARE: Final = 3
