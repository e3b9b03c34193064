"""The processes of the model that collect, and those that keep content by a lease or a name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.cluster.model import END, Me, Process, World, go, queued, told

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["HOLDER", "collector", "leased", "untagger"]

HOLDER: Final = 0
"""The session of the process that holds the lease."""
_LEASE_UNLOCKED: Final = "what is kept by a lease does not lock the lease's row"
_BEHIND: Final = "a lease gets what it keeps after the answer that it is stored"


def _lives(world: World) -> bool:
    return not world.lease_ended and HOLDER not in world.fenced


def _is_kept(world: World, namespace: str) -> bool:
    """A lease that a fence or a collector has ended keeps nothing."""
    return namespace in world.tagged or (namespace in world.kept and _lives(world))


def collector(namespace: str = "a") -> Process:  # noqa: C901 - one function a step
    """R0 to R3: end the lease of a dead process, review the queue, take what nothing keeps."""

    def end(world: World, me: Me) -> Iterator[World]:
        if not world.lease_ended and (HOLDER in world.free or HOLDER in world.fenced):
            if world.lease_lock == 0:
                yield go(world, me, "let go", lease_ended=True)
        else:
            yield go(world, me, "let go" if world.lease_ended else "review")

    def let_go(world: World, me: Me) -> Iterator[World]:
        changes = {} if me.mutant == "the end of a lease queues nothing" else queued(world)
        yield go(world, me, "review", kept=world.kept - {namespace}, **changes)

    def review(world: World, me: Me) -> Iterator[World]:
        if not world.queue:
            yield go(world, me, END)
        elif _is_kept(world, namespace) or namespace not in world.listed:
            yield go(world, me, "dequeue", world.queue)
        else:
            yield go(world, me, "lock", world.queue)

    def dequeue(world: World, me: Me) -> Iterator[World]:
        (seen,) = world.here[me.slot]
        same = seen == world.queue
        if same or me.mutant == "what is kept leaves the queue whatever its time is by then":
            yield go(world, me, END, queue=0)
        else:
            yield go(world, me, END)

    def lock(world: World, me: Me) -> Iterator[World]:
        if me.mutant == "a collector asks what keeps a blob before it has its lock":
            yield go(world, me, "take", _is_kept(world, namespace))
        elif world.row_lock < 0:
            yield go(world, me, "take", "asks", row_lock=me.slot)

    def take(world: World, me: Me) -> Iterator[World]:
        held = world.row_lock == me.slot
        if not held and world.row_lock >= 0:
            return
        kept = _is_kept(world, namespace)
        freed = {"row_lock": -1} if held else {}
        asked = kept if held else world.here[me.slot][0]
        if namespace not in world.listed or asked:
            yield go(world, me, END, **freed)
            return
        ended = go(world, me, END, listed=world.listed - {namespace}, queue=0, **freed)
        if not world.listed - {namespace} and world.row is not None:
            ended = ended._replace(row=None, trash=world.trash | world.row)
        if kept:
            ended = ended._replace(fault="a collector took what is kept")
        yield ended

    return Process(
        {"end": end, "let go": let_go, "review": review, "dequeue": dequeue,
         "lock": lock, "take": take}, namespace,
    )  # fmt: skip


def leased(namespace: str = "a", **how: bool) -> Process:
    """The process of a held lease finds content stored: one transaction asks and adds."""

    def ask(world: World, me: Me) -> Iterator[World]:
        if not _lives(world) or namespace not in world.listed:
            yield go(world, me, END)
        elif me.mutant == _BEHIND:
            yield told(world, me, "stored", lease_lock=0)
            yield go(world, me, "commit", lease_lock=world.lease_lock + 1)
        elif world.row_lock < 0:
            lock = 0 if me.mutant == _LEASE_UNLOCKED else 1
            yield go(world, me, "commit", row_lock=me.slot, lease_lock=world.lease_lock + lock)

    def commit(world: World, me: Me) -> Iterator[World]:
        kept = world.kept | {namespace}
        lock = max(0, world.lease_lock - 1)
        row_lock = -1 if world.row_lock == me.slot else world.row_lock
        after = told(world, me, "kept", kept=kept, lease_lock=lock, row_lock=row_lock)
        if namespace not in world.listed:
            after = after._replace(fault="a lease was told to keep content that is gone")
        if world.lease_ended:
            after = after._replace(fault="a lease that has ended has got an item")
        yield after

    return Process({"ask": ask, "commit": commit}, namespace, HOLDER, **how)


def untagger(namespace: str = "a") -> Process:
    """A name goes; a collector is to look at the blob, by the same transaction."""

    def untag(world: World, me: Me) -> Iterator[World]:
        changes = {} if me.mutant == "who takes a name away queues nothing" else queued(world)
        yield go(world, me, END, tagged=world.tagged - {namespace}, **changes)

    return Process({"untag": untag}, namespace)
