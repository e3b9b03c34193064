"""The engine over many hosts as a model: rows, locks, objects and late requests, in every order.

One content, two namespaces, and processes that add, write by a ref, delete, read, keep, collect,
prune and reindex it. A step is what others can see: a request to the object store, or a statement
of a transaction that waits for a row lock. Every PUT and DELETE may be sent twice, and the first
copy may arrive at any later time. A process may be killed at each step, and its statement goes on
in the server; a process may also only seem dead, because its connection broke or its lease ran
out. The rules are those of docs/design.md; a mutant leaves one out. The processes are in `actors`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "END",
    "NONE",
    "Explored",
    "Ingest",
    "Keys",
    "Me",
    "Process",
    "Scenario",
    "Steps",
    "World",
    "explore",
    "go",
    "queued",
    "request",
    "session_of",
    "told",
]

END: Final = ""
Keys = frozenset[str]
NONE: Final[Keys] = frozenset()


class Ingest(NamedTuple):
    """What a ref's row says: its holder, and the objects that are whole."""

    token: int
    session: int
    listed: Keys


class Me(NamedTuple):
    """What a step knows of the process that does it."""

    slot: int
    namespace: str
    session: int
    late: bool
    """Whether copies of requests may come late."""
    lost: bool
    """Whether the answer to a commit may be lost."""
    mutant: str


class World(NamedTuple):
    """All that there is at one moment. A key is its session, a dot and a number."""

    row: Keys | None = None
    """The objects that the content's row names."""
    listed: Keys = NONE
    """The namespaces that have it as a blob."""
    ingest: Ingest | None = None
    trash: Keys = NONE
    gone: Keys = NONE
    """Keys of the trash that were deleted; their rows are kept."""
    bucket: Keys = NONE
    flight: frozenset[tuple[str, str]] = frozenset()
    """Copies of requests that are still under way."""
    free: frozenset[int] = frozenset()
    """Sessions that seem dead: their locks are free, or their leases over."""
    fenced: frozenset[int] = frozenset()
    row_lock: int = -1
    ingest_lock: int = -1
    shares: frozenset[tuple[int, int]] = frozenset()
    """Statements that keep a session's row from being changed."""
    cached: bool = False
    """Whether a host has the bytes on its own disk."""
    kept: Keys = NONE
    """The namespaces in which a lease keeps the blob."""
    tagged: Keys = NONE
    """The namespaces in which a name keeps it."""
    lease_ended: bool = False
    lease_lock: int = 0
    """How many transactions keep the lease's row from being changed."""
    queue: int = -1
    """When a collector looks at the blob of namespace ``a``; 0 for never, -1 without a queue."""
    ticks: int = 0
    """How often something was queued: each time is another."""
    at: tuple[str, ...] = ()
    here: tuple[tuple[Any, ...], ...] = ()
    """What each process remembers."""
    seen: tuple[bool, ...] = ()
    """For each: whether its namespace had the blob at a moment of its call."""
    fault: str = ""


Steps = Mapping[str, "Callable[[World, Me], Iterator[World]]"]
"""By name; each gives the worlds that may come of it, and none while it must wait."""


class Process(NamedTuple):
    """One actor: its steps by name, the first one first."""

    steps: Steps
    namespace: str = "a"
    session: int = -1
    dies: bool = False
    suspected: bool = False


class Scenario(NamedTuple):
    """Processes, and the world that they meet."""

    processes: tuple[Process, ...]
    start: World = World()
    late: bool = True
    """Whether copies of requests may come late."""
    lost: bool = False
    """Whether the answer to a commit may be lost."""


class Explored(NamedTuple):
    """How many states there are, and what is wrong in one, if anything."""

    states: int
    fault: str | None


def session_of(key: str) -> int:
    """Every object's key names the session that wrote it."""
    return int(key.partition(".")[0])


# -- changes of a world ----------------------------------------------------------------------------


def go(world: World, me: Me, place: str, *here: object, **changes: Any) -> World:  # noqa: ANN401
    """One process goes on; without ``here`` it remembers what it did."""
    at = (*world.at[: me.slot], place, *world.at[me.slot + 1 :])
    if here or place == END:
        memory = here if place else ()
        memory = (*world.here[: me.slot], memory, *world.here[me.slot + 1 :])
        changes["here"] = memory
    return world._replace(at=at, **changes)


def told(world: World, me: Me, what: str, **changes: Any) -> World:  # noqa: ANN401
    """Its caller is told of success."""
    ended = go(world, me, END, **changes)
    if not (world.seen[me.slot] or ended.listed & {me.namespace}):
        return ended._replace(fault=f"told {what}, though at no moment of the call it was so")
    return ended


def queued(world: World) -> dict[str, Any]:
    """What changes when a blob that is there is queued."""
    if world.queue < 0 or "a" not in world.listed:
        return {}
    return {"queue": world.ticks + 1, "ticks": world.ticks + 1}


def request(world: World, me: Me, action: str, key: str, then: str) -> Iterator[World]:
    """A PUT or DELETE is answered at once; or sent again while its first copy is under way."""
    yield go(world, me, then, bucket=_arrived(world.bucket, action, key))
    if me.late and (action, key) not in world.flight:
        flight = world.flight | {(action, key)}
        yield go(world, me, then, bucket=_arrived(world.bucket, action, key), flight=flight)


def _arrived(bucket: Keys, action: str, key: str) -> Keys:
    return bucket | {key} if action == "put" else bucket - {key}


# -- all orders ------------------------------------------------------------------------------------


def explore(scenario: Scenario, mutant: str = "") -> Explored:
    """Try every order of the steps; stop at the first fault."""
    processes = scenario.processes
    cast = [
        Me(index, process.namespace, process.session, scenario.late, scenario.lost, mutant)
        for index, process in enumerate(processes)
    ]
    first = scenario.start._replace(
        at=tuple(next(iter(process.steps)) for process in processes),
        here=((),) * len(processes),
        seen=(False,) * len(processes),
    )
    seen, left = {first}, [first]
    while left:
        world = left.pop()
        moved = False
        for after in _following(world, processes, cast):
            moved = True
            if fault := after.fault or _fault_of(after):
                return Explored(len(seen), f"{fault}: {after}")
            if after not in seen:
                seen.add(after)
                left.append(after)
        if not moved and (fault := _end_fault(world)):
            return Explored(len(seen), f"{fault}: {world}")
    return Explored(len(seen), None)


def _following(world: World, processes: tuple[Process, ...], cast: list[Me]) -> Iterator[World]:
    for me, process in zip(cast, processes, strict=True):
        place = world.at[me.slot]
        if place == END:
            continue
        for after in process.steps[place](world, me):
            yield _watched(after, cast)
        alive = process.session not in world.free
        if process.dies and alive:  # its statement goes on in the server
            at = world if place in {"lock", "commit"} else go(world, me, END)
            yield at._replace(free=world.free | {process.session})
        if process.suspected and alive:
            yield world._replace(free=world.free | {process.session})
    for action, key in world.flight:
        bucket = _arrived(world.bucket, action, key)
        yield world._replace(bucket=bucket, flight=world.flight - {(action, key)})


def _watched(world: World, cast: list[Me]) -> World:
    seen = tuple(
        bool(world.at[me.slot]) and (world.seen[me.slot] or me.namespace in world.listed)
        for me in cast
    )
    return world._replace(seen=seen)


def _fault_of(world: World) -> str:
    """What must never be."""
    if world.row is not None and world.row - world.bucket:
        return "a row without its object"
    if world.listed and world.row is None:
        return "a blob without a row of its content"
    if world.ingest is not None and world.ingest.listed - world.bucket:
        return "an ingest lists an object that is gone"
    return ""


def _end_fault(world: World) -> str:
    """What must not be left in the end."""
    if world.row is not None and not world.listed:
        return "a row that no namespace has"
    if any(place and place != "begin" for place in world.at):
        return "a process can never go on"
    unkept = "a" not in world.tagged and ("a" not in world.kept or world.lease_ended)
    if world.queue == 0 and "a" in world.listed and unkept:
        return "garbage that no collector will look at"
    return ""
