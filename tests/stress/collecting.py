"""Collections, leases, tags and adds of the real store that meet at every step.

Each scene has a parent that refers to a child. At every step what a caller was told is kept is
there: what a lease has, what a tag names, what was answered for within the grace, and what any of
that refers to. In the end a collection leaves what a forward mark reaches, and once nothing keeps
anything, nothing is left.

Cases are written as in `tests.stress.schedules`.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import contentdb
from contentdb import Digest
from contentdb.local.upkeep.collect import Run
from tests.local.collect.graphs import BREF, REF, kept
from tests.stress.schedules import in_mutant, perform
from tests.stress.stepping import DeadlockError, Stepper, Switch, wait_for_others

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from sqlite3 import Connection

    from tests.crash.suite import Outcome, Plan

__all__ = ["SCENES", "collecting"]

_ACTORS: Final = 3
_PACK_BELOW: Final = 1_000
_NOTHING: Final = timedelta(0)


class Stage:
    """One run of a scene: its two blobs, and what callers were promised of them."""

    def __init__(self, root: Path, number: int, stores: list[contentdb.Store]) -> None:
        self.root = root
        self.stores = stores
        self.contents = [f"{name} {number} of the collections" for name in ("child", "parent")]
        self.child, self.parent = (Digest.of(text.encode()) for text in self.contents)
        self.tag = f"tag {number}"
        self.lease = f"lease {number}"
        self.promised: set[tuple[str, Digest]] = set()
        """By whom, and what."""
        self.deleted: set[Digest] = set()
        """What a caller has begun to delete: nobody promises that it stays."""
        self.loose_ends = False
        """Whether a parent may be there without its child: a flat lease keeps only what it has."""
        self._withdrawals: Counter[str] = Counter()
        self._withdrawing: Counter[str] = Counter()

    @property
    def observer(self) -> contentdb.Store:
        """The store object that no actor has."""
        return self.stores[-1]

    def add(self, store: contentdb.Store | contentdb.Lease, digest: Digest) -> None:
        """Store one of the two; the parent with its label."""
        place = (self.child, self.parent).index(digest)
        labels = {f"{REF}.0": self.child} if place else None
        store.add(self.contents[place].encode(), labels=labels)

    def begin(self, reason: str) -> int | None:
        """Return what `promise` asks for, before the call; None while it is being withdrawn."""
        return None if self._withdrawing[reason] else self._withdrawals[reason]

    def promise(self, reason: str, since: int | None, *digests: Digest) -> None:
        """Note that a caller was told that something is kept, unless that may have ended since."""
        if since is not None and since == self._withdrawals[reason]:
            self.promised |= {(reason, digest) for digest in digests}
            _watch(self)

    @contextlib.contextmanager
    def withdrawing(self, reason: str) -> Iterator[None]:
        """Expect nothing any more from a reason, from before the call that ends it."""
        self._withdrawals[reason] += 1
        self._withdrawing[reason] += 1
        self.promised = {(each, digest) for each, digest in self.promised if each != reason}
        try:
            yield
        finally:
            self._withdrawing[reason] -= 1

    def wanted(self) -> set[Digest]:
        """Return what must be there now."""
        return {digest for _, digest in self.promised} - self.deleted


Actor = "Callable[[Stage, contentdb.Store], None]"

# -- what actors do --------------------------------------------------------------------------------


def _collect(_stage: Stage, store: contentdb.Store) -> None:
    store.collect(grace=_NOTHING, no_roots=True)


def _collect_old(_stage: Stage, store: contentdb.Store) -> None:
    """With the usual grace."""
    store.collect(no_roots=True)


def _pull(stage: Stage, store: contentdb.Store, *, tags: bool = True, flat: bool = False) -> None:
    """What a pull does: keep what is there, store the rest, and tag it all within a lease."""
    stage.loose_ends |= flat
    with store.lease(flat=flat) as lease:
        reason = lease.id
        since = stage.begin(reason)
        for digest in (stage.child, stage.parent):
            if not lease.keep(digest):
                stage.add(lease, digest)
            stage.promise(reason, since, digest)
        if tags:
            _tag(stage, lease)
        with stage.withdrawing(reason):
            lease.end()


def _hold(stage: Stage, store: contentdb.Store) -> None:
    """Keep what is there, for a while."""
    with store.lease() as lease:
        reason = lease.id
        since = stage.begin(reason)
        if lease.keep(stage.parent):
            below = {stage.child} if _has_label(stage) else ()
            stage.promise(reason, since, stage.parent, *below)
        with stage.withdrawing(reason):
            lease.end()


def _keep_in_shared(stage: Stage, store: contentdb.Store) -> None:
    """Keep the child in a lease that others may end."""
    with contextlib.suppress(contentdb.NotFoundError, contentdb.LeaseEndedError):
        since = stage.begin(stage.lease)
        with store.use_lease(stage.lease) as lease:
            if lease.keep(stage.child):
                stage.promise(stage.lease, since, stage.child)


def _end_shared(stage: Stage, store: contentdb.Store) -> None:
    with stage.withdrawing(stage.lease), contextlib.suppress(contentdb.NotFoundError):
        store.end_lease(stage.lease)


def _drop_item(stage: Stage, store: contentdb.Store) -> None:
    with (
        stage.withdrawing(stage.lease),
        contextlib.suppress(contentdb.NotFoundError, contentdb.LeaseEndedError),
        store.use_lease(stage.lease) as lease,
    ):
        lease.drop_item("content", stage.child)


def _tag(stage: Stage, store: contentdb.Store | contentdb.Lease) -> None:
    since = stage.begin("tag")
    with contextlib.suppress(contentdb.NotFoundError):
        store.tag(stage.tag, stage.parent)
        below = {stage.child} if _has_label(stage) and not stage.loose_ends else ()
        stage.promise("tag", since, stage.parent, *below)


def _untag(stage: Stage, store: contentdb.Store) -> None:
    with stage.withdrawing("tag"), contextlib.suppress(contentdb.NotFoundError):
        store.untag(stage.tag)


def _move_tag(stage: Stage, store: contentdb.Store) -> None:
    """Let the tag name the child alone."""
    with contextlib.suppress(contentdb.NotFoundError), stage.withdrawing("tag"):
        store.tag(stage.tag, stage.child)


def _add(stage: Stage, store: contentdb.Store) -> None:
    """Store both, of which the second is an answer about the first too."""
    for digest in (stage.child, stage.parent):
        since = stage.begin("grace")
        stage.add(store, digest)
        stage.promise("grace", since, digest)


def _add_child(stage: Stage, store: contentdb.Store) -> None:
    since = stage.begin("grace")
    stage.add(store, stage.child)
    stage.promise("grace", since, stage.child)


def _add_bare(stage: Stage, store: contentdb.Store) -> None:
    """Store the parent, without the label that keeps its child."""
    store.add(stage.contents[1].encode())


def _ask(stage: Stage, store: contentdb.Store) -> None:
    if store.exists(stage.parent):
        below = {stage.child} if _has_label(stage) else ()
        stage.promise("grace", 0, stage.parent, *below)


def _delete(stage: Stage, store: contentdb.Store, *, which: str) -> None:
    digest: Digest = getattr(stage, which)
    stage.deleted |= {digest, stage.child}  # without its parent nothing may keep the child
    with contextlib.suppress(contentdb.NotFoundError):
        store.delete(digest)


def _unlabel(stage: Stage, store: contentdb.Store) -> None:
    stage.deleted.add(stage.child)  # whoever keeps the parent does not keep the child any more
    with contextlib.suppress(contentdb.NotFoundError):
        store.update(stage.parent, {})


def _expect(stage: Stage, store: contentdb.Store) -> None:
    """Begin an ingest that expects the child, and give it up."""
    ref = f"ingest {stage.child}"
    with contextlib.suppress(contentdb.AlreadyExistsError):
        store.writer(ref, expected=stage.child).close()
        store.abort(ref)


def _both(*acts: Callable[[Stage, contentdb.Store], None]) -> Callable[..., None]:
    def act(stage: Stage, store: contentdb.Store) -> None:
        for one in acts:
            one(stage, store)

    return act


def _has_label(stage: Stage) -> bool:
    """Return whether the parent refers to its child now, past the seam."""
    found = _ask_index(
        stage,
        "SELECT 1 FROM labels JOIN blobs USING (namespace, digest) "
        "WHERE digest = :parent AND value = :child AND state = 0",
    )
    return bool(found)


def _ask_index(stage: Stage, statement: str) -> list[Any]:
    with stage.observer.parts() as parts:
        values = {"parent": stage.parent, "child": stage.child}
        return parts.index._database.all(statement, values)


_delete_child = partial(_delete, which="child")
_delete_parent = partial(_delete, which="parent")
_fetch = partial(_pull, tags=False)
_fetch_flat = partial(_pull, tags=False, flat=True)

# -- how it begins ---------------------------------------------------------------------------------


def _nothing(_stage: Stage) -> None:
    pass


def _stored(stage: Stage) -> None:
    """Both are there, their grace is over, and nothing keeps them."""
    stage.add(stage.observer, stage.child)
    stage.add(stage.observer, stage.parent)
    _let_grace_end(stage.observer)


def _due(stage: Stage) -> None:
    """A tag keeps both, and a collection has yet to find that out."""
    _stored(stage)
    _tag(stage, stage.observer)


def _tagged(stage: Stage) -> None:
    """A tag keeps both, and they are not in the queue any more."""
    _due(stage)
    stage.observer.collect(grace=_NOTHING, no_roots=True)


def _leased(stage: Stage) -> None:
    """A lease that anybody may end keeps both, and they are not in the queue any more."""
    stage.add(stage.observer, stage.child)
    stage.add(stage.observer, stage.parent)
    lease = stage.observer.lease(lasting=True, id=stage.lease)
    since = stage.begin(stage.lease)
    assert lease.keep(stage.parent)
    stage.promise(stage.lease, since, stage.parent, stage.child)
    _let_grace_end(stage.observer)
    stage.observer.collect(grace=_NOTHING, no_roots=True)


def _referring_back(stage: Stage) -> None:
    """The child's label says that the parent refers to it; a tag keeps the parent."""
    stage.observer.add(stage.contents[0].encode(), labels={f"{BREF}.0": stage.parent})
    stage.observer.add(stage.contents[1].encode())
    since = stage.begin("tag")
    stage.observer.tag(stage.tag, stage.parent)
    stage.promise("tag", since, stage.parent, stage.child)
    _let_grace_end(stage.observer)
    stage.observer.collect(grace=_NOTHING, no_roots=True)


def _in_a_cycle(stage: Stage) -> None:
    """Each refers to the other, and nothing else keeps them."""
    _stored(stage)
    stage.observer.update(stage.child, {f"{REF}.0": stage.parent})
    _let_grace_end(stage.observer)


def _let_grace_end(store: contentdb.Store) -> None:
    def work(connection: Connection) -> None:
        connection.execute("UPDATE blobs SET review_at = 7 WHERE review_at IS NOT NULL")

    with store.parts() as parts:
        parts.index._database.write(work, lambda _connection: True, durable=False)


class Scene(NamedTuple):
    """How it begins, and who acts."""

    begin: Callable[[Stage], None]
    actors: tuple[Callable[[Stage, contentdb.Store], None], ...]
    packs: bool = False


_OVER_BOTH: Final[dict[str, Scene]] = {
    "pull": Scene(_nothing, (_pull, _collect)),
    "pull-again": Scene(_stored, (_pull, _collect)),
    "pull-pull": Scene(_stored, (_pull, _fetch, _collect)),
    "pull-untag": Scene(_tagged, (_fetch, _untag, _collect)),
    "pull-pull-untag": Scene(_nothing, (_fetch, _both(_pull, _untag), _collect)),
    "fetch-collect-twice": Scene(_stored, (_fetch, _collect, _collect)),
    "fetch-flat": Scene(_stored, (_fetch_flat, _collect)),
    "hold": Scene(_stored, (_hold, _collect)),
    "hold-tag": Scene(_stored, (_hold, _tag, _collect)),
    "tag": Scene(_stored, (_tag, _collect)),
    "tag-untag": Scene(_tagged, (_both(_untag, _tag), _collect)),
    "untag": Scene(_tagged, (_untag, _collect)),
    "untag-what-is-due": Scene(_due, (_untag, _collect)),
    "untag-what-is-due-twice": Scene(_due, (_untag, _both(_tag, _untag), _collect)),
    "untag-untag": Scene(_tagged, (_untag, _both(_tag, _untag), _collect)),
    "untag-twice": Scene(_tagged, (_untag, _both(_collect, _collect))),
    "move-tag": Scene(_tagged, (_move_tag, _collect)),
    "move-tag-tag": Scene(_tagged, (_move_tag, _tag, _collect)),
    "share": Scene(_leased, (_keep_in_shared, _end_shared, _collect)),
    "share-tag": Scene(_leased, (_tag, _end_shared, _collect)),
    "drop-item": Scene(_leased, (_both(_keep_in_shared, _drop_item), _end_shared, _collect)),
    "add": Scene(_stored, (_add, _collect_old)),
    "add-child": Scene(_stored, (_add_child, _collect_old)),
    "add-add": Scene(_stored, (_add, _add, _collect_old)),
    "add-anew": Scene(_nothing, (_add, _both(_collect_old, _collect_old))),
    "add-tagged": Scene(_tagged, (_add, _untag, _collect_old)),
    "add-ended": Scene(_leased, (_add_child, _end_shared, _collect_old)),
    "ask": Scene(_stored, (_ask, _collect_old)),
    "ask-untag": Scene(_tagged, (_ask, _untag, _collect_old)),
    "replace": Scene(_tagged, (_untag, _add_bare, _collect)),
    "delete": Scene(_tagged, (_delete_parent, _collect)),
    "delete-untag": Scene(_tagged, (_delete_parent, _untag, _collect)),
    "delete-add": Scene(_stored, (_delete_child, _add, _collect_old)),
    "delete-pull": Scene(_stored, (_delete_parent, _fetch, _collect)),
    "unlabel": Scene(_tagged, (_unlabel, _collect)),
    "unlabel-pull": Scene(_tagged, (_unlabel, _fetch, _collect)),
    "unlabel-untag": Scene(_tagged, (_unlabel, _untag, _collect)),
    "back-untag": Scene(_referring_back, (_untag, _collect)),
    "back-delete": Scene(_referring_back, (_delete_parent, _collect)),
    "cycle-pull": Scene(_in_a_cycle, (_fetch, _collect)),
    "cycle-tag": Scene(_in_a_cycle, (_tag, _untag, _collect)),
    "expect": Scene(_stored, (_expect, _collect)),
    "expect-untag": Scene(_tagged, (_expect, _untag, _collect)),
    "collect-collect": Scene(_stored, (_collect, _collect)),
    "collect-collect-untag": Scene(_tagged, (_collect, _both(_untag, _collect))),
}

SCENES: Final = _OVER_BOTH | {
    f"packed-{name}": scene._replace(packs=True) for name, scene in _OVER_BOTH.items()
}

# -- one run ---------------------------------------------------------------------------------------


def _steps_without_sleep(steps: Callable[[Run], Iterator[Any]]) -> Callable[[Run], Iterator[Any]]:
    """Let a collection that waits for another one wait as the schedule says, not by the clock."""

    def run(self: Run) -> Iterator[Any]:
        for one in steps(self):
            if one is None:
                wait_for_others()
            else:
                yield one

    return run


class Theatre:
    """A store with an opening for each actor, used for one run of a scene after the other."""

    def __init__(self, root: Path, leave: contextlib.ExitStack) -> None:
        self._root = root
        self._leave = leave
        self._stores: list[contentdb.Store] = []
        self._number = 0
        for name, instead in (("steps", _steps_without_sleep(Run.steps)), ("_rest", _do_nothing)):
            leave.callback(setattr, Run, name, getattr(Run, name))
            setattr(Run, name, instead)

    def _open(self, *, packs: bool) -> None:
        below = _PACK_BELOW if packs else 0
        self._stores = [
            self._leave.enter_context(contentdb.open(self._root, pack_below=below))
            for _ in range(_ACTORS + 1)
        ]
        self._stores[-1].collect(no_roots=True)

        def begin_long_ago(connection: Connection) -> None:
            connection.execute("UPDATE settings SET value = '7' WHERE name = 'collecting_since'")

        with self._stores[-1].parts() as parts:
            parts.index._database.write(begin_long_ago, lambda _connection: True, durable=False)

    def play(self, name: str, switches: tuple[Switch, ...]) -> tuple[list[str], int]:
        """Run a scene by a schedule: what is wrong, and how many steps it had."""
        scene = SCENES[name]
        if not self._stores:
            self._open(packs=scene.packs)
        self._number += 1
        stores = self._stores[: len(scene.actors)]
        stage = Stage(self._root, self._number, [*stores, self._stores[-1]])
        scene.begin(stage)
        stepper = Stepper(switches, partial(_watch, stage))
        acts = [
            partial(actor, stage, store) for actor, store in zip(scene.actors, stores, strict=True)
        ]
        found: list[str] = []
        try:
            stepper.run(acts)
            _watch(stage)
        except AssertionError as error:
            found.append(str(error))
        except DeadlockError:
            found.append("all actors wait for each other")
        except Exception as error:  # noqa: BLE001 - it is the finding
            found.append(f"a call raised {type(error).__name__}: {error}")
        found += _judge(stage)
        return found, stepper.steps


def _do_nothing(_run: Run, _seconds: float = 0) -> None:
    pass


def _watch(stage: Stage) -> None:
    """What holds at every step: what was promised is there, and what it refers to, with files."""
    statement = "SELECT digest, pack FROM blobs WHERE digest IN (:parent, :child) AND state = 0"
    live = dict(_ask_index(stage, statement))
    for digest, pack in live.items():
        file = stage.root / "blobs" / "sha256" / digest[7:9] / digest[7:]
        assert pack is not None or file.exists(), "a live row without its file"
    for digest in stage.wanted():
        name = "child" if digest == stage.child else "parent"
        assert digest in live, f"the {name} is gone, though {_reasons(stage, digest)} keeps it"
    if stage.parent in live and stage.child not in live:
        loose = stage.loose_ends or stage.child in stage.deleted
        assert loose or not _has_label(stage), "the parent stays without its child"


def _reasons(stage: Stage, digest: Digest) -> str:
    return " and ".join(sorted(reason for reason, each in stage.promised if each == digest))


def _judge(stage: Stage) -> Iterator[str]:
    """Collect undisturbed: what is kept stays, and nothing else does."""
    store = stage.observer
    wanted = kept(store)
    store.collect(grace=_NOTHING, no_roots=True)
    listed = {str(info.digest) for info in store.walk()}
    for digest in listed - wanted:
        yield f"nothing keeps the {_name(stage, digest)}, and no collection finds it"
    for digest in wanted - listed:
        yield f"a collection took the {_name(stage, digest)}, though something keeps it"
    for digest in listed:
        try:
            store.read(digest)
        except contentdb.CorruptBlobError as error:
            yield f"the {_name(stage, digest)} cannot be read: {error}"
    yield from _judge_end(stage)


def _judge_end(stage: Stage) -> Iterator[str]:
    """Take away all that keeps something: then nothing is left."""
    store = stage.observer
    _let_grace_end(store)
    store.collect(no_roots=True)  # what is kept leaves the queue
    for tag in list(store.tags()):
        store.untag(tag.name)
    for lease in list(store.leases()):
        store.end_lease(lease.id)
    for status in list(store.statuses()):
        store.abort(status.ref)
    store.collect(grace=_NOTHING, no_roots=True)
    if leaked := [_name(stage, info.digest) for info in store.walk()]:
        yield f"left in the end: {leaked}"
        store.collect(grace=_NOTHING, no_roots=True, full=True)
    for folder in ("trash", "ingest"):
        for path in (stage.root / folder).iterdir():
            yield f"left in {folder}/: {path.name}"
            path.unlink()


def _name(stage: Stage, digest: str) -> str:
    return "child" if digest == stage.child else "parent" if digest == stage.parent else digest


# -- all runs --------------------------------------------------------------------------------------


def collecting(plan: Plan) -> Outcome:
    """Run every scene by many schedules."""
    if plan.mutant is not None:
        return in_mutant(plan, collecting)
    actors = {name: len(scene.actors) for name, scene in SCENES.items()}
    return perform(plan, "collecting", actors, Theatre)
