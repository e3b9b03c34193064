"""The processes of the model: what each does, step by step, in the terms of docs/design.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tests.cluster.model import (
    END,
    NONE,
    Ingest,
    Keys,
    Me,
    Process,
    Steps,
    World,
    go,
    queued,
    request,
    session_of,
    told,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "aborter", "adder", "deleter", "emptier", "heart", "keeper", "pruner", "reader", "reindexer",
    "writer",
]  # fmt: skip

_UNLOCKED: Final = "a commit that finds the row does not lock it"
_EARLY_LOOK: Final = "a commit sent again looks at the trash before it has the lock"
_EARLY_NAME: Final = "reindex looks at the trash before it has the lock"
_NAMED_GOES: Final = "reindex does not look whether a row names what it throws away"
_UNLEASED: Final = "a lease does not lock what it keeps"


class Draft(NamedTuple):
    """What a commit is to make a blob."""

    mine: Keys
    token: int = -1
    """Of the ingest that ends with it; -1 without one."""
    thrown: bool = False
    """Whether the trash had a key when the statement began."""
    again: bool = False
    """Whether it was sent before, and its answer lost."""
    found: bool = False
    """Whether it is reindex that found the objects, which a row may have named before."""
    needless: Keys = NONE
    """What goes to the trash with it."""


# -- W4: the commit, in three steps: what the statement sees, its row lock, its end ----------------


def _see(world: World, me: Me) -> Iterator[World]:
    """The session's row is locked against a fence; the ingest's against others."""
    (draft,) = world.here[me.slot]
    mine, token, again = draft.mine, draft.token, draft.again
    session = me.session
    if session in world.fenced and me.mutant != "a commit does not look at the fence":
        yield go(world, me, END)
        return
    if token >= 0:
        holds = world.ingest is not None and world.ingest.token == token
        if world.ingest_lock >= 0:
            return
        if not holds and again and _happened(world, mine):
            yield told(world, me, "stored") if world.row else go(world, me, END)
            return
        if not holds and me.mutant != "a commit does not look at its token":
            yield go(world, me, END)
            return
        world = world._replace(ingest_lock=me.slot)
    shares = world.shares
    if me.mutant != "the fence does not wait for a commit":
        shares |= {(me.slot, session)}
    draft = draft._replace(thrown=bool(mine & world.trash))
    yield go(world, me, "lock", draft, shares=shares)


def _happened(world: World, mine: Keys) -> bool:
    return bool(mine & ((world.row or NONE) | world.trash))


def _lock(world: World, me: Me) -> Iterator[World]:
    if me.mutant == _UNLOCKED and world.row is not None:
        yield go(world, me, "commit")
    elif world.row_lock < 0:
        yield go(world, me, "commit", row_lock=me.slot)


def _commit(world: World, me: Me) -> Iterator[World]:
    (draft,) = world.here[me.slot]
    mine, token, again = draft.mine, draft.token, draft.again
    freed: dict[str, Any] = {
        "row_lock": -1 if world.row_lock == me.slot else world.row_lock,
        "ingest_lock": -1 if world.ingest_lock == me.slot else world.ingest_lock,
        "shares": world.shares - {(me.slot, me.session)},
    }
    named = draft.needless & (world.row or NONE) if me.mutant != _NAMED_GOES else NONE
    if named or _is_thrown(world, me, draft):
        yield go(world, me, END, **freed)
        return
    row: Keys | None = mine if world.row is None else world.row
    if me.mutant == _UNLOCKED and world.row is None and world.row_lock != me.slot:
        row = None  # it saw a row that a delete has taken since
    freed |= {"row": row, "listed": world.listed | {me.namespace}}
    if row != mine:
        freed["trash"] = world.trash | mine
    freed |= queued(world._replace(listed=freed["listed"]))
    if draft.needless:
        freed["trash"] = freed.get("trash", world.trash) | draft.needless
    if token >= 0 and world.ingest is not None and world.ingest.token == token:
        freed["ingest"] = None
    yield told(world, me, "stored", **freed)
    if me.lost and not again:
        yield go(world, me, "see", Draft(mine, token, again=True), **freed)


def _is_thrown(world: World, me: Me, draft: Draft) -> bool:
    if draft.found and me.mutant == "reindex does not look at the trash":
        return False
    if me.mutant == _EARLY_LOOK or (draft.found and me.mutant == _EARLY_NAME):
        return draft.thrown
    return bool(draft.mine & world.trash)


_W4: Final[Steps] = {"see": _see, "lock": _lock, "commit": _commit}

# -- those that bring content ----------------------------------------------------------------------


def adder(session: int, namespace: str = "a", **how: bool) -> Process:
    """Store content that is in memory: PUT, then the commit."""

    def look(world: World, me: Me) -> Iterator[World]:
        if me.mutant == "what is cached counts as stored" and world.cached:
            yield told(world, me, "stored")
        key = f"{0 if me.mutant == 'one key for each digest' else session}.0"
        yield go(world, me, "put", Draft(frozenset({key})))

    def put(world: World, me: Me) -> Iterator[World]:
        (key,) = world.here[me.slot][0].mine
        yield from request(world, me, "put", key, "see")

    return Process({"look": look, "put": put} | dict(_W4), namespace, session, **how)


def writer(session: int, **how: bool) -> Process:  # noqa: C901 - one function a step
    """Store content by a ref, in two segments: the first is listed, the second comes with W4."""

    def begin(world: World, me: Me) -> Iterator[World]:  # W1
        if world.ingest_lock >= 0:
            return
        listed = NONE
        if world.ingest is not None:
            listed = world.ingest.listed
            dead = world.ingest.session in world.free
            if not dead and me.mutant != "a ref is taken without a look at its holder":
                return
            if not dead:
                world = world._replace(fault="a ref was taken from a live holder")
            if listed - world.bucket:
                world = world._replace(fault="an ingest lists an object that is gone")
        place = "tail" if listed else "segment"
        ingest = Ingest(me.slot, session, listed)
        yield go(world, me, place, Draft(listed, me.slot), ingest=ingest)

    def segment(world: World, me: Me) -> Iterator[World]:  # W2
        yield from request(world, me, "put", f"{session}.0", "list")

    def list_it(world: World, me: Me) -> Iterator[World]:
        listed = frozenset({f"{session}.0"})
        if world.ingest_lock >= 0:
            return
        if (
            session in world.fenced
            and me.mutant != "a segment is listed without a look at the fence"
        ):
            yield go(world, me, END)
            return
        if world.ingest is None or world.ingest.token != me.slot:
            yield go(world, me, END)
            return
        ingest = Ingest(me.slot, session, listed)
        yield go(world, me, "tail", Draft(listed, me.slot), ingest=ingest)

    def tail(world: World, me: Me) -> Iterator[World]:  # W3
        key = f"{session}.1"
        mine = world.here[me.slot][0].mine | {key}
        for after in request(world, me, "put", key, "see"):
            yield go(after, me, "see", Draft(mine, me.slot))

    steps = {"begin": begin, "segment": segment, "list": list_it, "tail": tail}
    return Process(steps | dict(_W4), "a", session, **how)


# -- those that take it away -----------------------------------------------------------------------


def deleter(namespace: str = "a", *, collects: bool = False) -> Process:  # noqa: C901 - one function a step
    """D1; a collector does the same, unless the blob is kept."""

    def find(world: World, me: Me) -> Iterator[World]:
        others, kept = bool(world.listed - {namespace}), bool(world.kept & {namespace})
        if world.row is None:
            yield go(world, me, END)
        elif world.row_lock < 0:
            yield go(world, me, "commit", others, kept, row_lock=me.slot)
        elif "before the lock" in me.mutant:
            yield go(world, me, "wait", others, kept)

    def wait(world: World, me: Me) -> Iterator[World]:
        if world.row is None:
            yield go(world, me, END)
        elif world.row_lock < 0:
            yield go(world, me, "commit", row_lock=me.slot)

    def commit(world: World, me: Me) -> Iterator[World]:
        others, kept = world.here[me.slot]
        if me.mutant != "a delete looks at other namespaces before the lock":
            others = bool(world.listed - {namespace})
        if me.mutant != "a collector looks at leases before the lock":
            kept = bool(world.kept & {namespace})
        if namespace not in world.listed or (collects and kept):
            yield go(world, me, END, row_lock=-1)
            return
        if me.mutant == "a delete does not look at other namespaces":
            others = False
        changes: dict[str, Any] = {"row_lock": -1, "listed": world.listed - {namespace}}
        if not others and world.row is not None:
            changes |= {"row": None, "trash": world.trash | world.row}
        ended = go(world, me, END, **changes)
        if collects and namespace in world.kept:
            ended = ended._replace(fault="a lease lost its content")
        yield ended

    return Process({"find": find, "wait": wait, "commit": commit}, namespace)


def keeper(namespace: str = "a") -> Process:
    """A lease takes stored content: one transaction, which locks the row."""

    def keep(world: World, me: Me) -> Iterator[World]:
        if namespace not in world.listed:
            yield go(world, me, END)
        elif world.row_lock < 0 or me.mutant == _UNLEASED:
            yield go(world, me, "kept")

    def kept(world: World, me: Me) -> Iterator[World]:
        after = told(world, me, "kept", kept=world.kept | {namespace})
        if namespace not in world.listed:
            after = after._replace(fault="a lease keeps content that is gone")
        yield after

    def locked(world: World, me: Me) -> Iterator[World]:
        for after in keep(world, me):
            if after.at[me.slot] and me.mutant != _UNLEASED:
                yield from kept(after, me)
            else:
                yield after

    return Process({"keep": locked, "kept": kept}, namespace)


def aborter() -> Process:
    """Drop the ingest of a dead writer."""

    def abort(world: World, me: Me) -> Iterator[World]:
        if world.ingest_lock >= 0:
            return
        if world.ingest is None or world.ingest.session not in world.free:
            yield go(world, me, END)
            return
        yield go(world, me, END, ingest=None, trash=world.trash | world.ingest.listed)

    return Process({"abort": abort})


def emptier() -> Process:
    """D2: delete the objects of the trash, after the grace of those that read; then forget."""

    def pick(world: World, me: Me) -> Iterator[World]:
        reading = {key for place, here in zip(world.at, world.here, strict=True)
                   if place == "reading" for key in here[0]}  # fmt: skip
        for key in world.trash - world.gone:
            if key not in reading or me.mutant == "the trash is emptied without a grace":
                yield go(world, me, "delete", key)
        yield go(world, me, END)

    def delete(world: World, me: Me) -> Iterator[World]:
        yield from request(world, me, "delete", world.here[me.slot][0], "note")

    def note(world: World, me: Me) -> Iterator[World]:
        key = world.here[me.slot][0]
        if me.mutant == "the trash forgets a key when its object is deleted":
            yield go(world, me, "forget", trash=world.trash - {key})
        else:
            yield go(world, me, "forget", gone=world.gone | {key})

    def forget(world: World, me: Me) -> Iterator[World]:
        ended = world.fenced
        if me.mutant == "the trash forgets the keys of a session that only seems dead":
            ended = world.free
        old = {key for key in world.gone if session_of(key) in ended}
        yield go(world, me, END, trash=world.trash - old, gone=world.gone - old)

    return Process({"pick": pick, "delete": delete, "note": note, "forget": forget})


def pruner() -> Process:  # noqa: C901 - one function a step
    """O1: an object that no row names goes, once its session can commit nothing more."""

    def find(world: World, me: Me) -> Iterator[World]:
        for key in world.bucket:
            yield go(world, me, "fence", key)
        yield go(world, me, END)

    def fence(world: World, me: Me) -> Iterator[World]:
        session = session_of(world.here[me.slot][0])
        if me.mutant == "an object is judged by its age alone":
            yield go(world, me, "judge")
        elif session not in world.free:
            yield go(world, me, END)
        elif me.mutant == "a prune judges without a fence":
            yield go(world, me, "judge")
        elif me.mutant == "a prune judges, then fences":
            yield go(world, me, END if _is_named(world, me) else "late")
        elif all(session != shared for _, shared in world.shares):
            yield go(world, me, "judge", fenced=world.fenced | {session})

    def late(world: World, me: Me) -> Iterator[World]:
        session = session_of(world.here[me.slot][0])
        if all(session != shared for _, shared in world.shares):
            yield go(world, me, "delete", fenced=world.fenced | {session})

    def judge(world: World, me: Me) -> Iterator[World]:
        named = _is_named(world, me)
        yield go(world, me, END if named else "delete")

    def delete(world: World, me: Me) -> Iterator[World]:
        yield from request(world, me, "delete", world.here[me.slot][0], END)

    steps = {"find": find, "fence": fence, "late": late, "judge": judge, "delete": delete}
    return Process(steps)


def _is_named(world: World, me: Me) -> bool:
    (key,) = world.here[me.slot]
    listed = world.ingest.listed if world.ingest is not None else NONE
    if me.mutant == "a prune does not look at ingests":
        listed = NONE
    trash = NONE if me.mutant == "a prune does not look at the trash" else world.trash
    return key in (world.row or NONE) | trash | listed


# -- the others ------------------------------------------------------------------------------------


def reader(namespace: str = "a") -> Process:
    """Ask the database, then read from this host's cache, or the objects, and fill the cache."""

    def ask(world: World, me: Me) -> Iterator[World]:
        if me.mutant == "the cache answers before the database" and world.cached:
            yield told(world, me, "found")
        elif namespace not in world.listed or world.row is None:
            yield go(world, me, END)
        else:
            yield go(world, me, "reading", world.row)

    def reading(world: World, me: Me) -> Iterator[World]:
        if not world.cached and world.here[me.slot][0] - world.bucket:
            world = world._replace(fault="a reader lost the content that it had open")
        yield told(world, me, "read", cached=True)

    return Process({"ask": ask, "reading": reading}, namespace)


def reindexer() -> Process:
    """Give an object without a row its row: of the content that it was read and hashed to be.

    Where a row names other objects of that content, the commit is one of those, and the found one
    goes to the trash.
    """

    def find(world: World, me: Me) -> Iterator[World]:
        for key in world.bucket:
            yield go(world, me, "adopt", key)
        yield go(world, me, END)

    def adopt(world: World, me: Me) -> Iterator[World]:
        (key,) = world.here[me.slot]
        found, row = frozenset({key}), world.row
        if key not in world.bucket:
            yield go(world, me, END)
        elif row is None or (found <= row and me.mutant != _NAMED_GOES):
            yield go(world, me, "see", Draft(found, found=True))
        else:
            yield go(world, me, "see", Draft(row, found=True, needless=found))

    return Process({"find": find, "adopt": adopt} | dict(_W4))


def heart(session: int) -> Process:
    """A lease is renewed, or a connection that broke is made again and takes its lock."""

    def beat(world: World, me: Me) -> Iterator[World]:
        if session not in world.fenced:
            yield go(world, me, END, free=world.free - {session})
        elif me.mutant == "a fenced session comes back":
            free, fenced = world.free - {session}, world.fenced - {session}
            yield go(world, me, END, free=free, fenced=fenced)
        else:
            yield go(world, me, END)

    return Process({"beat": beat})
