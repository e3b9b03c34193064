"""Power cuts between a COMMIT and the sync of its log, over the real store.

A change of the index can be read before it is on disk. Threads change over at each file operation;
at every stop the power may go. Then the index is what the last sync of its log has put on disk,
while the names of files are the latest: so a promise that rests on a row which was not synced shows
as content that was acknowledged and is not listed, and an act that was too early as a row without
its file.

In a store that packs, the power takes of packs what was not synced, or nothing: either may be on
disk. What is listed then is what the next opening finds: rows, and records that have lost theirs.

Cases are written as in `tests.stress.schedules`.
"""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import contentdb
from contentdb import Digest, files
from contentdb.local.index.index import Index
from contentdb.local.packs.directory import PackDirectory
from contentdb.local.packs.record import content_at
from contentdb.local.packs.replay import replay_all
from tests.inside import parts_of
from tests.stress.schedules import in_mutant, one_shard, perform
from tests.stress.stepping import DeadlockError, Stepper, Switch, undisturbed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.crash.suite import Outcome, Plan

__all__ = ["SCENES", "unsynced"]

_OTHER: Final = "other"
_PACK_BELOW: Final = 1_000
_HEADER_BYTES: Final = 32
_FRAME_BYTES: Final = 24 + 4096
"""Of a log, see https://sqlite.org/fileformat2.html#the_write_ahead_log."""


class Run:
    """One run of a scene: what its actors were told, and what a power cut would leave."""

    def __init__(self, root: Path, number: int, disk: _Disk) -> None:
        self.root = root
        self.content = b"content %d of the power cuts" % number
        self.digest = Digest.of(self.content)
        self.file = root / "blobs" / "sha256" / self.digest.encoded[:2] / self.digest.encoded
        self.deletes = {"default": 0, _OTHER: 0}
        """Deletes by namespace that have begun: content may be gone from then on."""
        self.adds = 0
        self._disk = disk
        self._had_file = False

    def stored(self, store: contentdb.Store, labels: dict[str, str] | None = None) -> None:
        """Check an acknowledgement: the content is there after a power cut, with its labels."""
        if self.deletes[store.namespace]:
            return
        for found in self._disk.cuts(self.digest):
            have = found.get(store.namespace)
            assert have is not None, "acknowledged, and lost with the power"
            assert have.items() >= (labels or {}).items(), "labels are lost with the power"

    def deleted(self, store: contentdb.Store) -> None:
        """Check the acknowledgement of a delete, unless somebody may have stored it again."""
        if self.adds:
            return
        for found in self._disk.cuts(self.digest):
            assert store.namespace not in found, "it comes back with the power"

    def look(self) -> None:
        """Check that a power cut leaves no row without a file or a record."""
        if self._disk.packs is not None:
            self._disk.check_records(self.digest, self.content)
            return
        if self.file.exists():
            self._had_file = True
        elif self._had_file:
            assert not self._disk.read(self.digest), "a row without its file after a power cut"


class _Disk:
    """The index as the last sync of its log left it, and each pack as its own last sync did."""

    def __init__(self, root: Path, scratch: Path, *, packs: bool) -> None:
        self._index = root / "index.sqlite"
        self._scratch = scratch
        self._sync = files.sync_data
        self._log = b""
        self.packs = root / "packs" if packs else None
        self._synced: dict[str, bytes] = {}
        self._checked: object = None
        """What there was on disk at the last check of records."""
        scratch.mkdir()
        (scratch / "packs").mkdir()

    def sync(self, fd: int, path: str) -> None:
        """Sync, and keep what is on disk then."""
        self._sync(fd, path)
        self._checked = None
        if path.endswith(".pack"):
            # it may be open for writing alone, and its name be gone
            self._synced[Path(path).name] = Path(f"/proc/self/fd/{fd}").read_bytes()
            return
        log = self._index.with_name("index.sqlite-wal").read_bytes()
        used = len(log.rstrip(b"\0"))  # zeros behind the last frame are not copied
        self._log = log[: _HEADER_BYTES - (_HEADER_BYTES - used) // _FRAME_BYTES * _FRAME_BYTES]

    def fold(self) -> None:
        """Put all into the database: a short log is read in a millisecond."""
        with contextlib.closing(sqlite3.connect(self._index)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._log = b""

    def cuts(self, digest: Digest) -> Iterator[dict[str, dict[str, str]]]:
        """Cut the power, in each way that there is, and read."""
        if self.packs is None:
            yield self.read(digest)
            return
        for packs in (self._packs_synced(), self._packs_written()):
            yield self.read(digest, packs)

    def _names(self) -> list[str]:
        assert self.packs is not None
        return [path.name for path in self.packs.glob("*.pack")]

    def _packs_synced(self) -> dict[str, bytes]:
        return {name: self._synced.get(name, b"") for name in self._names()}

    def _packs_written(self) -> dict[str, bytes]:
        assert self.packs is not None
        return {name: (self.packs / name).read_bytes() for name in self._names()}

    def check_records(self, digest: Digest, content: bytes) -> None:
        """Check that each row that is on disk has its file, or its record on disk too."""
        now = (self._log, sorted(self._names()), sorted(self._synced))
        if now == self._checked:
            return
        self._checked = now
        packs = self._packs_synced()
        self._copy()
        with contextlib.closing(sqlite3.connect(self._scratch / "index.sqlite")) as db:
            query = 'SELECT pack, "offset" FROM blobs WHERE state = 0 AND digest = ?'
            rows = db.execute(query, (digest,)).fetchall()
        for pack, offset in rows:
            if pack is None:
                assert self._has_file(digest), "a row without its file after a power cut"
                continue
            at = offset + content_at(digest)
            data = packs.get(f"{pack}.pack", b"")[at : at + len(content)]
            assert data == content, "a row without its record after a power cut"

    def _has_file(self, digest: Digest) -> bool:
        name = digest.encoded
        return (self._index.parent / "blobs" / "sha256" / name[:2] / name).exists()

    def _copy(self) -> Path:
        copy = self._scratch / "index.sqlite"
        copy.write_bytes(self._index.read_bytes())
        (self._scratch / "index.sqlite-wal").write_bytes(self._log)
        (self._scratch / "index.sqlite-shm").unlink(missing_ok=True)
        return copy

    def read(
        self, digest: Digest, packs: Mapping[str, bytes] | None = None
    ) -> dict[str, dict[str, str]]:
        """Cut the power: return the labels of the content, by each namespace that lists it."""
        copy = self._copy()
        if packs is not None:
            self._replay(copy, packs)
        with contextlib.closing(sqlite3.connect(copy)) as db:
            query = "SELECT namespace FROM blobs WHERE state = 0 AND digest = ?"
            rows = db.execute(query, (digest,)).fetchall()
            query = "SELECT key, value FROM labels WHERE namespace = ? AND digest = ?"
            return {name: dict(db.execute(query, (name, digest))) for (name,) in rows}

    def _replay(self, copy: Path, packs: Mapping[str, bytes]) -> None:
        """Do what the next opening does first."""
        folder = self._scratch / "packs"
        for path in folder.iterdir():
            path.unlink()
        for name, data in packs.items():
            (folder / name).write_bytes(data)
        with undisturbed(), contextlib.ExitStack() as leave:
            index = Index(str(copy), str(self._scratch), namespace="default", durable=False)
            leave.callback(index.close)
            directory = PackDirectory(files.open_directory(str(folder)), _PACK_BELOW)
            leave.callback(directory.close)
            replay_all(directory, index)


# -- what actors do --------------------------------------------------------------------------------


def _add(run: Run, store: contentdb.Store, labels: dict[str, str] | None = None) -> None:
    run.adds += 1
    store.add(run.content, labels=labels)
    run.stored(store, labels)


def _add_many(run: Run, store: contentdb.Store) -> None:
    list(store.add_many([run.content]))
    run.stored(store)


def _batch(run: Run, store: contentdb.Store) -> None:
    with store.batch():
        store.add(run.content)
    run.stored(store)


def _commit(run: Run, store: contentdb.Store) -> None:
    try:
        with store.writer(f"r {run.digest}", expected=run.digest, resume=True) as writer:
            writer.write(run.content[writer.offset :])
            writer.commit(exist_ok=False)
    except contentdb.AlreadyExistsError:
        pass
    run.stored(store)


def _delete(run: Run, store: contentdb.Store) -> None:
    run.deletes[store.namespace] += 1
    with contextlib.suppress(contentdb.NotFoundError):
        store.delete(run.digest)
    run.deleted(store)


def _add_and_delete(run: Run, store: contentdb.Store) -> None:
    _add(run, store)
    _delete(run, store)


def _open(run: Run, _store: contentdb.Store) -> None:
    contentdb.open(run.root).close()


def _prune(_run: Run, store: contentdb.Store) -> None:
    store.prune(older_than=0)


def _verify(_run: Run, store: contentdb.Store) -> None:
    list(store.verify())


def _moved(move: Callable[[contentdb.Store], object]) -> Callable[[Run, contentdb.Store], None]:
    def act(_run: Run, store: contentdb.Store) -> None:
        move(store)

    return act


_pack = _moved(contentdb.Store.pack)
_unpack = _moved(contentdb.Store.unpack)
_repack = _moved(contentdb.Store.repack)


def _path(run: Run, store: contentdb.Store) -> None:
    with contextlib.suppress(contentdb.NotFoundError):
        store.path(run.digest)


_labelled = partial(_add, labels={"key": "value"})

_Scenes = dict[str, tuple[bool, tuple[tuple[Any, str], ...]]]

_OVER_BOTH: Final[_Scenes] = {
    "add, add": (False, ((_add, "default"), (_add, "default"))),
    "add, add twice": (False, ((_add, "default"), (_add, "default"), (_add, "default"))),
    "add, labels": (False, ((_add, "default"), (_labelled, "default"))),
    "add, commit": (False, ((_add, "default"), (_commit, "default"))),
    "commit, add": (False, ((_commit, "default"), (_add, "default"))),
    "add, group": (False, ((_add, "default"), (_add_many, "default"))),
    "group, batch": (False, ((_add_many, "default"), (_batch, "default"))),
    "labels, labels": (True, ((_labelled, "default"), (_labelled, "default"))),
    "delete, open": (True, ((_delete, "default"), (_open, "default"))),
    "delete, prune": (True, ((_delete, "default"), (_prune, "default"))),
    "delete, delete": (True, ((_delete, "default"), (_delete, "default"))),
    "delete, delete elsewhere": (True, ((_delete, "default"), (_delete, _OTHER))),
    "add, delete, open": (True, ((_add, "default"), (_delete, "default"), (_open, "default"))),
    "delete, add and delete": (True, ((_delete, "default"), (_add_and_delete, "default"))),
    "delete, prune elsewhere": (False, ((_add_and_delete, _OTHER), (_prune, "default"))),
    "delete, verify": (True, ((_delete, "default"), (_verify, "default"))),
}
"""By name: whether the content is there before, and the actors with their namespaces."""

_MOVES: Final[_Scenes] = {
    "unpack, add": (True, ((_unpack, "default"), (_labelled, "default"))),
    "unpack, delete": (True, ((_unpack, "default"), (_delete, "default"))),
    "unpack, pack": (True, ((_unpack, "default"), (_pack, "default"))),
    "unpack, pack, add": (
        True, ((_unpack, "default"), (_pack, "default"), (_labelled, "default")),
    ),
    "repack, add": (True, ((_repack, "default"), (_labelled, "default"))),
    "repack, delete": (True, ((_repack, "default"), (_add_and_delete, "default"))),
    "repack, repack, add": (
        False, ((_repack, "default"), (_repack, "default"), (_add, "default")),
    ),
    "repack, delete elsewhere": (True, ((_repack, "default"), (_delete, _OTHER))),
    "path, delete": (True, ((_path, "default"), (_delete, "default"))),
}  # fmt: skip

_PACKED: Final[_Scenes] = {f"packed {name}": scene for name, scene in _OVER_BOTH.items()} | _MOVES

SCENES: Final[_Scenes] = _OVER_BOTH | _PACKED


class Theatre:
    """A store with an open store object for each actor, on a watched disk."""

    def __init__(self, root: Path, leave: contextlib.ExitStack) -> None:
        root.mkdir(parents=True)
        self._root = root / "store"
        self._folder = root
        self._leave = leave
        self._number = 0
        self._stores: dict[str, list[contentdb.Store]] = {}

    def _begin(self, *, packs: bool) -> None:
        contentdb.open(self._root, pack_below=_PACK_BELOW if packs else 0).close()
        self._disk = _Disk(self._root, self._folder / "scratch", packs=packs)
        self._leave.callback(setattr, files, "sync_data", files.sync_data)
        files.sync_data = self._disk.sync
        self._stores = {
            name: [
                self._leave.enter_context(contentdb.open(self._root, namespace=name))
                for _ in range(3)
            ]
            for name in ("default", _OTHER)
        }
        for store in itertools.chain(*self._stores.values()):
            store.add(store.namespace.encode())

    def play(self, name: str, switches: tuple[Switch, ...]) -> tuple[list[str], int]:
        """Play a scene by a schedule; return what was wrong, and its steps."""
        if not self._stores:
            self._begin(packs=name in _PACKED)
        self._number += 1
        there, actors = SCENES[name]
        run = Run(self._root, self._number, self._disk)
        stores = [self._stores[namespace][number] for number, (_, namespace) in enumerate(actors)]
        if there:
            for store in stores:
                store.add(run.content)
                if (appender := parts_of(store).appender) is not None:
                    appender.let_go()  # others may append to its pack, and repack it
        self._disk.fold()
        stepper = Stepper(switches, run.look)
        acts = [partial(act, run, store) for (act, _), store in zip(actors, stores, strict=True)]
        wrong = []
        with one_shard(run.digest.encoded[:2]):
            try:
                stepper.run(acts)
                run.look()
            except (AssertionError, DeadlockError, contentdb.ContentDBError) as error:
                wrong.append(f"{type(error).__name__}: {error}")
        if self._disk.packs is not None:  # moves take all that there is
            for store in stores:
                store.delete_many([run.digest], missing_ok=True)
        return wrong, stepper.steps


def unsynced(plan: Plan) -> Outcome:
    """Run every scene by many schedules."""
    if plan.mutant is not None:
        return in_mutant(plan, unsynced)
    return perform(plan, "unsynced", {name: len(SCENES[name][1]) for name in SCENES}, Theatre)
