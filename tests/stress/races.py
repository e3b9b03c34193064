"""Actors of the real store that meet at every step: commits, deletes, prunes, repairs of one blob.

Cases are written as in `tests.stress.schedules`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

import contentdb
from contentdb import Digest
from contentdb.local.commit.stored import look_up
from contentdb.local.index import Location, State
from contentdb.local.packs.record import content_at
from tests.inside import parts_of
from tests.stress.order import ABSENT, BAD, BAD_RECORD, LIVE, MARKED, ORPHAN, Call, Now, ends
from tests.stress.schedules import one_shard, perform
from tests.stress.stepping import DeadlockError, Stepper, Switch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import ExitStack
    from pathlib import Path

    from contentdb.local.index import Blob
    from tests.crash.suite import Outcome, Plan

__all__ = ["SCENES", "races"]

_ACTORS: Final = 3
_PACK_BELOW: Final = 1_000
_OTHER: Final = "other"
"""A second namespace over the same files."""


class Stage:
    """One run of a scene: its content, its actors' stores, and what they were told."""

    def __init__(self, root: Path, number: int, stores: list[contentdb.Store]) -> None:
        self.root = root
        self.content = f"content {number} of the races".encode()
        self.digest = Digest.of(self.content)
        self.file = root / "blobs" / "sha256" / self.digest.encoded[:2] / self.digest.encoded
        self.stores = stores
        self.is_packed = parts_of(stores[-1]).packs is not None
        self.first = Now(ABSENT)
        self.calls: dict[str, list[Call]] = {}
        self.stepper = Stepper((), lambda: None)

    def call(
        self,
        store: contentdb.Store,
        name: str,
        work: Callable[[], str | contentdb.Info],
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """Do a call and note what it told."""
        began = self.stepper.steps
        told = work()
        done = Call(
            name, began, self.stepper.steps + 1, "stored", frozenset((labels or {}).items())
        )
        if isinstance(told, contentdb.Info):
            assert told.labels.items() >= done.labels or not told.new, f"new, without {done.labels}"
            done = done._replace(new=told.new, born=told.created_ns if told.new else None)
        else:
            done = done._replace(told=told)
        self.calls.setdefault(store.namespace, []).append(done)

    def label(self) -> dict[str, str]:
        """A label that no other call gives."""
        return {f"by {self.stepper.steps}": "a call"}

    def record(self, location: Location) -> bytes | None:
        """Return what a record holds; None if its pack is gone."""
        try:
            pack = (self.root / "packs" / f"{location.pack}.pack").read_bytes()
        except FileNotFoundError:
            return None
        at = location.offset + content_at(self.digest)
        return pack[at : at + len(self.content)]


Actor = "Callable[[Stage, contentdb.Store], None]"

# -- what actors do --------------------------------------------------------------------------------


def _add(stage: Stage, store: contentdb.Store) -> None:
    labels = stage.label()
    stage.call(store, "add", lambda: store.add(stage.content, labels=labels), labels)


def _add_many(stage: Stage, store: contentdb.Store) -> None:
    labels = stage.label()

    def work() -> contentdb.Info:
        (answer,) = store.add_many([stage.content], labels=labels)
        return answer

    stage.call(store, "add", work, labels)


def _batch(stage: Stage, store: contentdb.Store) -> None:
    labels = stage.label()

    def work() -> str:
        with store.batch():
            store.add(stage.content, labels=labels)
        return "stored"  # what is new is not told before the block ends

    stage.call(store, "add", work, labels)


def _put(stage: Stage, store: contentdb.Store) -> None:
    """A commit for which stored content is success."""
    labels = stage.label()

    def work() -> str | contentdb.Info:
        with store.writer(f"put {stage.digest} {labels}") as writer:
            writer.write(stage.content)
            return writer.commit(expected=stage.digest, labels=labels)

    stage.call(store, "add", work, labels)


def _commit(stage: Stage, store: contentdb.Store, *, ref: str) -> None:
    def work() -> str:
        try:
            with store.writer(f"{ref} {stage.digest}", resume=True) as writer:
                writer.write(stage.content[writer.offset :])
                writer.commit(expected=stage.digest, exist_ok=False)
        except contentdb.AlreadyExistsError:
            return "exists"
        except contentdb.RefLockedError:
            return "locked"
        return "stored"

    stage.call(store, "commit", work)


def _abort(stage: Stage, store: contentdb.Store, *, ref: str) -> None:
    try:
        store.abort(f"{ref} {stage.digest}")
    except (contentdb.NotFoundError, contentdb.RefLockedError):
        return


def _delete(stage: Stage, store: contentdb.Store) -> None:
    def work() -> str:
        try:
            store.delete(stage.digest)
        except contentdb.NotFoundError:
            return "absent"
        return "done"

    stage.call(store, "delete", work)


def _update(stage: Stage, store: contentdb.Store, *, label: str) -> None:
    def work() -> str:
        try:
            store.update(stage.digest, {"k": label})
        except contentdb.NotFoundError:
            return "absent"
        return "done"

    stage.call(store, "update", work, {"k": label})


def _read(stage: Stage, store: contentdb.Store) -> None:
    def work() -> str:
        try:
            data = store.read(stage.digest)
        except contentdb.NotFoundError:
            return "absent"
        except contentdb.CorruptBlobError:
            return "corrupt"
        assert data == stage.content, "damaged bytes were served"
        return "data"

    stage.call(store, "read", work)


def _path(stage: Stage, store: contentdb.Store) -> None:
    def work() -> str:
        try:
            path = store.path(stage.digest)
        except contentdb.NotFoundError:
            return "absent"
        except contentdb.CorruptBlobError:
            return "corrupt"
        try:
            data = path.read_bytes()
        except FileNotFoundError:  # it was deleted, or packed again, since
            return "data"
        assert data == stage.content, "damaged bytes have the path"
        return "data"

    stage.call(store, "read", work)


def _upkeep(work: Callable[[contentdb.Store], object]) -> Callable[[Stage, contentdb.Store], None]:
    def act(stage: Stage, store: contentdb.Store) -> None:
        def told() -> str:
            work(store)
            return "done"

        stage.call(store, "upkeep", told)

    return act


_prune = _upkeep(lambda store: store.prune(older_than=0))
_mend = _upkeep(lambda store: contentdb.repair(store, store.verify(quick=True)))
_reindex = _upkeep(lambda store: store.reindex())
_pack = _upkeep(lambda store: store.pack())
_unpack = _upkeep(lambda store: store.unpack())
_repack = _upkeep(lambda store: store.repack())


def _both(*acts: Callable[[Stage, contentdb.Store], None]) -> Callable[..., None]:
    def act(stage: Stage, store: contentdb.Store) -> None:
        for one in acts:
            one(stage, store)

    return act


_one = partial(_commit, ref="one")
_two = partial(_commit, ref="two")
_red = partial(_update, label="red")
_blue = partial(_update, label="blue")

# -- how it begins ---------------------------------------------------------------------------------


def _nothing(_stage: Stage) -> str:
    return ABSENT


def _stored(stage: Stage) -> str:
    stage.stores[-1].add(stage.content)
    if (appender := parts_of(stage.stores[-1]).appender) is not None:
        appender.let_go()  # others may append to its pack, and repack it
    return LIVE


def _loose(stage: Stage) -> str:
    """In a store that packs."""
    _stored(stage)
    stage.stores[-1].unpack()
    return LIVE


def _with_file(stage: Stage) -> str:
    """A packed blob that has a file too."""
    _stored(stage)
    stage.stores[-1].path(stage.digest)
    return LIVE


def _orphaned(stage: Stage) -> str:
    stage.file.write_bytes(stage.content)
    stage.file.chmod(0o444)
    return ORPHAN


def _damaged(stage: Stage) -> str:
    _stored(stage)
    row = parts_of(stage.stores[-1]).index.blob(stage.digest)
    if row is not None and row.location is not None:
        with (stage.root / "packs" / f"{row.location.pack}.pack").open("r+b") as pack:
            pack.seek(row.location.offset + content_at(stage.digest))
            pack.write(b"X")
        return BAD_RECORD
    stage.file.chmod(0o600)
    stage.file.write_bytes(b"X" + stage.content[1:])
    stage.file.chmod(0o444)
    return BAD


def _marked(stage: Stage) -> str:
    _damaged(stage)
    contentdb.repair(stage.stores[-1], stage.stores[-1].verify(quick=True))
    return MARKED


def _paused(stage: Stage) -> str:
    with stage.stores[-1].writer(f"one {stage.digest}") as writer:
        writer.write(stage.content[:7])
    return ABSENT


class Scene(NamedTuple):
    """How it begins, and who acts."""

    begin: Callable[[Stage], str]
    actors: tuple[Callable[[Stage, contentdb.Store], None], ...]
    namespaces: tuple[str, ...] = ("default",) * _ACTORS
    packs: bool = False
    """Whether the store packs the content."""


_OVER_BOTH: Final[dict[str, Scene]] = {
    "commit-commit": Scene(_nothing, (_one, _two)),
    "commit-delete": Scene(_stored, (_one, _delete)),
    "add-delete": Scene(_stored, (_add, _delete)),
    "batch-delete": Scene(_stored, (_batch, _delete)),
    "delete-delete": Scene(_stored, (_delete, _delete)),
    "read-delete-add": Scene(_stored, (_read, _delete, _add)),
    "commit-commit-delete": Scene(_stored, (_one, _two, _delete)),
    "add-then-delete-twice": Scene(_nothing, (_both(_add, _delete), _both(_add, _delete))),
    "update-update-add": Scene(_stored, (_red, _blue, _add)),
    "update-delete-add": Scene(_stored, (_red, _delete, _both(_add, _add))),
    "update-then-add-twice": Scene(_stored, (_both(_red, _add), _both(_blue, _add))),
    "add-mend": Scene(_nothing, (_add, _mend)),
    "put-mend": Scene(_nothing, (_put, _mend)),
    "batch-mend": Scene(_nothing, (_batch, _mend)),
    "add-many-reindex": Scene(_nothing, (_add_many, _reindex)),
    "put-reindex": Scene(_nothing, (_put, _reindex)),
    "add-put-mend": Scene(_nothing, (_add, _put, _mend)),
    "add-add-reindex": Scene(_nothing, (_add, _add_many, _reindex)),
    "add-mend-prune": Scene(_nothing, (_add, _mend, _prune)),
    "add-mend-update": Scene(_nothing, (_add, _mend, _red)),
    "add-mend-delete": Scene(_nothing, (_put, _mend, _delete)),
    "marked-put-mend": Scene(_marked, (_put, _mend)),
    "two-namespaces-add-mend": Scene(_nothing, (_add, _mend), (_OTHER, "default")),
    "commit-prune": Scene(_nothing, (_one, _prune)),
    "add-prune-of-an-orphan": Scene(_orphaned, (_add, _prune)),
    "commit-mend-of-an-orphan": Scene(_orphaned, (_one, _mend)),
    "delete-mend": Scene(_stored, (_delete, _mend)),
    "orphan-mend-add-delete": Scene(_orphaned, (_mend, _both(_add, _delete))),
    "orphan-reindex-add-delete": Scene(_orphaned, (_reindex, _both(_add, _delete))),
    "orphan-mend-prune": Scene(_orphaned, (_mend, _prune)),
    "damaged-mend-add": Scene(_damaged, (_mend, _add)),
    "damaged-mend-delete-add": Scene(_damaged, (_mend, _delete, _add)),
    "damaged-read-commit": Scene(_damaged, (_read, _one)),
    "marked-heal-delete": Scene(_marked, (_add, _delete)),
    "marked-heal-heal-mend": Scene(_marked, (_add, _one, _mend)),
    "one-ref-commit-commit": Scene(_paused, (_one, _one)),
    "one-ref-commit-abort": Scene(_paused, (_one, partial(_abort, ref="one"))),
    "one-ref-commit-prune-abort": Scene(_paused, (_one, _prune, partial(_abort, ref="one"))),
    "two-namespaces-add-delete": Scene(_stored, (_delete, _add), ("default", _OTHER)),
    "two-namespaces-delete-delete": Scene(
        _stored, (_delete, _both(_add, _delete)), ("default", _OTHER)
    ),
    "commit-commit-delete-prune-mend": Scene(
        _stored, (_both(_one, _delete), _both(_two, _prune), _both(_delete, _mend))
    ),
}

_MOVES: Final[dict[str, Scene]] = {
    "pack-read-delete": Scene(_loose, (_pack, _read, _delete)),
    "pack-add-delete": Scene(_loose, (_pack, _both(_delete, _add))),
    "pack-update": Scene(_loose, (_pack, _red)),
    "pack-pack": Scene(_loose, (_pack, _pack, _delete)),
    "pack-unpack": Scene(_loose, (_pack, _unpack)),
    "pack-path": Scene(_loose, (_pack, _path)),
    "pack-mend": Scene(_loose, (_pack, _mend, _add)),
    "pack-reindex": Scene(_loose, (_pack, _reindex)),
    "pack-elsewhere": Scene(_loose, (_pack, _both(_add, _delete)), ("default", _OTHER)),
    "unpack-read-delete": Scene(_stored, (_unpack, _read, _delete)),
    "unpack-add-delete": Scene(_stored, (_unpack, _both(_delete, _add))),
    "unpack-pack": Scene(_with_file, (_unpack, _pack, _path)),
    "unpack-prune": Scene(_stored, (_unpack, _prune)),
    "unpack-elsewhere": Scene(_stored, (_unpack, _both(_add, _delete)), ("default", _OTHER)),
    "repack-read-delete": Scene(_stored, (_repack, _read, _delete)),
    "repack-add-delete": Scene(_stored, (_repack, _both(_delete, _add))),
    "repack-repack": Scene(_stored, (_repack, _repack, _add_many)),
    "repack-unpack": Scene(_stored, (_repack, _unpack, _red)),
    "repack-mend": Scene(_stored, (_repack, _mend)),
    "repack-of-a-damaged-record": Scene(_damaged, (_repack, _red)),
    "repack-damaged-read-delete": Scene(_damaged, (_repack, _read, _delete)),
    "path-delete": Scene(_stored, (_path, _delete)),
    "path-path-unpack": Scene(_stored, (_path, _path, _unpack)),
    "path-delete-add": Scene(_with_file, (_path, _both(_delete, _add))),
}

SCENES: Final = (
    _OVER_BOTH
    | {f"packed-{name}": scene._replace(packs=True) for name, scene in _OVER_BOTH.items()}
    | {name: scene._replace(packs=True) for name, scene in _MOVES.items()}
)

# -- one run ---------------------------------------------------------------------------------------


class Theatre:
    """A store with an opening for each actor, used for one run of a scene after the other."""

    def __init__(self, root: Path, leave: ExitStack) -> None:
        self._root = root
        self._opened: dict[tuple[str, int], contentdb.Store] = {}
        self._leave = leave
        self._number = 0
        self._below = 0

    @property
    def _observer(self) -> contentdb.Store:
        return self._store("default", _ACTORS)

    def _store(self, namespace: str, number: int) -> contentdb.Store:
        key = (namespace, number)
        if key not in self._opened:
            opened = contentdb.open(self._root, namespace=namespace, pack_below=self._below)
            self._opened[key] = self._leave.enter_context(opened)
        return self._opened[key]

    def play(self, name: str, switches: tuple[Switch, ...]) -> tuple[list[str], int]:
        """Run a scene by a schedule: what is wrong, and how many steps it had."""
        scene = SCENES[name]
        self._below = _PACK_BELOW if scene.packs else 0
        self._number += 1
        stores = [
            self._store(scene.namespaces[number], number) for number in range(len(scene.actors))
        ]
        stage = Stage(self._root, self._number, [*stores, self._observer])
        found: list[str] = []
        with one_shard(stage.digest.encoded[:2]):
            began = scene.begin(stage)
            watched = began not in {BAD, BAD_RECORD, MARKED}
            stage.first = self._state(stage, "default", claimed=False)
            assert stage.first.kind == began
            stage.stepper = Stepper(switches, lambda: self._watch(stage, watched=watched))
            try:
                stage.stepper.run(
                    [
                        partial(actor, stage, store)
                        for actor, store in zip(scene.actors, stores, strict=True)
                    ]
                )
            except AssertionError as error:
                found.append(str(error))
            except DeadlockError:
                found.append("all actors wait for each other")
            except Exception as error:  # noqa: BLE001 - it is the finding
                found.append(f"a call raised {type(error).__name__}: {error}")
        if not found:
            found += self._judge(stage)
        if stage.is_packed:  # moves take all that there is
            for store in stage.stores:
                store.delete_many([stage.digest], missing_ok=True)
        return found, stage.stepper.steps

    def _watch(self, stage: Stage, *, watched: bool) -> None:
        """What holds at every step: a live row has its file or its record, whole."""
        if not watched:
            return
        with self._observer.parts() as parts:
            rows = parts.index._database.all(  # past the seam
                'SELECT pack, "offset" FROM blobs WHERE digest = :digest AND state = 0',
                {"digest": stage.digest},
            )
        for pack, offset in rows:
            if pack is not None:
                data = stage.record(Location(pack, offset))
                assert data == stage.content, "a live row without its whole record"
                continue
            assert stage.file.exists(), "a live row without its file"
            assert stage.file.read_bytes() == stage.content, "a live row with a damaged file"

    def _judge(self, stage: Stage) -> Iterator[str]:
        claimed = False
        for namespace in self._by_claim(stage):
            calls = stage.calls.get(namespace, [])
            first = stage.first if namespace == "default" else Now(ABSENT)
            beside = [
                call for other, each in stage.calls.items() for call in each if other != namespace
            ]
            found = ends(calls, first, beside=beside)
            now = self._state(stage, namespace, claimed=claimed)
            claimed = claimed or now.kind == LIVE
            if not any(_is_as(now, end) for end in found):
                why = f"{found or 'no order'} explains {calls}"
                yield f"{namespace}: {now} in the end, though {why}"
        yield from self._remembered(stage)
        if left := _names(self._root / "trash"):
            yield f"left in the trash: {left}"
            for name in left:
                (self._root / "trash" / name).unlink()
        yield from self._ingests()

    def _by_claim(self, stage: Stage) -> list[str]:
        """The namespaces, first those whose the file is."""

        def is_free(namespace: str) -> bool:
            return self._state(stage, namespace, claimed=False).kind != LIVE

        return sorted({store.namespace for store in stage.stores}, key=is_free)

    def _state(self, stage: Stage, namespace: str, *, claimed: bool) -> Now:
        with self._store(namespace, _ACTORS).parts() as parts:
            row = parts.index.blob(stage.digest)
            info = None if row is None else parts.index.info(stage.digest, row)
        kind = self._kind(stage, row, claimed=claimed)
        if info is None or kind in {ABSENT, ORPHAN}:
            return Now(kind)
        return Now(kind, frozenset(info.labels.items()), info.created_ns)

    def _kind(self, stage: Stage, row: Blob | None, *, claimed: bool) -> str:
        whole = stage.file.exists() and stage.file.read_bytes() == stage.content
        if row is None:
            return ORPHAN if whole and not claimed else ABSENT
        if row.state == State.TOMBSTONE:
            return "a tombstone"
        if row.state == State.DAMAGED:
            return "a row marked as damaged with its file whole" if whole else MARKED
        if row.location is not None:
            data = stage.record(row.location)
            lost = "a live row without its pack" if data is None else BAD_RECORD
            return LIVE if data == stage.content else lost
        if whole:
            return LIVE
        return BAD if stage.file.exists() else "a live row without its file"

    def _remembered(self, stage: Stage) -> Iterator[str]:
        """What each process remembers of the blob is what the row says."""
        for number, store in enumerate(stage.stores):
            with store.parts() as parts:
                row = parts.index.blob(stage.digest)
                if row is None or row.state != State.LIVE:
                    continue
                told, known = look_up(parts, stage.digest), parts.index.info(stage.digest, row)
            if told is not None and told != known:
                yield f"store {number} remembers {told!r}, the row says {known!r}"

    def _ingests(self) -> Iterator[str]:
        """Nobody holds a ref, and rows and files of ingests are the same."""
        rows = {status.ref: status for status in self._observer.statuses()}
        names = _names(self._root / "ingest")
        if len(rows) != len(names):
            yield f"ingests {sorted(rows)} and files {names} differ"
        for ref, status in rows.items():
            if status.held:
                yield f"{ref!r} is held by nobody"
            self._observer.abort(ref)
        for name in _names(self._root / "ingest"):
            (self._root / "ingest" / name).unlink()


def _is_as(now: Now, end: Now) -> bool:
    """Whether what there is is what an order leads to, as far as that says."""
    born = now.born if end.born is None else end.born
    return now == end._replace(born=born)


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


# -- all runs --------------------------------------------------------------------------------------


def races(plan: Plan) -> Outcome:
    """Run every scene by many schedules."""
    actors = {name: len(scene.actors) for name, scene in SCENES.items()}
    return perform(plan, "races", actors, Theatre)
