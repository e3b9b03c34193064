"""Power cuts between a COMMIT and the sync of its log, over the real store.

A change of the index can be read before it is on disk. Threads change over at each file operation;
at every stop the power may go. Then the index is what the last sync of its log has put on disk,
while the names of files are the latest: so a promise that rests on a row which was not synced shows
as content that was acknowledged and is not listed, and an act that was too early as a row without
its file.

Cases are written as in `tests.stress.schedules`.
"""

from __future__ import annotations

import contextlib
import itertools
import pickle
import sqlite3
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import contentdb
from contentdb import Digest, files
from tests.stress.schedules import one_shard, perform
from tests.stress.stepping import DeadlockError, Stepper, Switch

if TYPE_CHECKING:
    from pathlib import Path

    from tests.crash.suite import Outcome, Plan

__all__ = ["SCENES", "unsynced"]

_OTHER: Final = "other"
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
        found = self._disk.read(self.digest).get(store.namespace)
        assert found is not None, "acknowledged, and lost with the power"
        assert found.items() >= (labels or {}).items(), "labels are lost with the power"

    def deleted(self, store: contentdb.Store) -> None:
        """Check the acknowledgement of a delete, unless somebody may have stored it again."""
        if self.adds:
            return
        assert store.namespace not in self._disk.read(self.digest), "it comes back with the power"

    def look(self) -> None:
        """Check that a power cut leaves no row without a file."""
        if self.file.exists():
            self._had_file = True
        elif self._had_file:
            assert not self._disk.read(self.digest), "a row without its file after a power cut"


class _Disk:
    """The index as the last sync of its log left it."""

    def __init__(self, root: Path, scratch: Path) -> None:
        self._index = root / "index.sqlite"
        self._scratch = scratch
        self._sync = files.sync_data
        self._log = b""
        scratch.mkdir()

    def sync(self, fd: int, path: str) -> None:
        """Sync, and keep what is on disk then."""
        self._sync(fd, path)
        log = self._index.with_name("index.sqlite-wal").read_bytes()
        used = len(log.rstrip(b"\0"))  # zeros behind the last frame are not copied
        self._log = log[: _HEADER_BYTES - (_HEADER_BYTES - used) // _FRAME_BYTES * _FRAME_BYTES]

    def fold(self) -> None:
        """Put all into the database: a short log is read in a millisecond."""
        with contextlib.closing(sqlite3.connect(self._index)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._log = b""

    def read(self, digest: Digest) -> dict[str, dict[str, str]]:
        """Cut the power: return the labels of the content, by each namespace that lists it."""
        copy = self._scratch / "index.sqlite"
        copy.write_bytes(self._index.read_bytes())
        (self._scratch / "index.sqlite-wal").write_bytes(self._log)
        (self._scratch / "index.sqlite-shm").unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(copy)) as db:
            query = "SELECT namespace FROM blobs WHERE state = 0 AND digest = ?"
            rows = db.execute(query, (digest,)).fetchall()
            query = "SELECT key, value FROM labels WHERE namespace = ? AND digest = ?"
            return {name: dict(db.execute(query, (name, digest))) for (name,) in rows}


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


_labelled = partial(_add, labels={"key": "value"})

SCENES: Final[dict[str, tuple[bool, tuple[tuple[Any, str], ...]]]] = {
    "add, add": (False, ((_add, "default"), (_add, "default"))),
    "add, add twice": (False, ((_add, "default"), (_add, "default"), (_add, "default"))),
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


class Theatre:
    """A store with an open store object for each actor, on a watched disk."""

    def __init__(self, root: Path, leave: contextlib.ExitStack) -> None:
        root.mkdir(parents=True)
        self._root = root / "store"
        contentdb.open(self._root).close()
        self._disk = _Disk(self._root, root / "scratch")
        leave.callback(setattr, files, "sync_data", files.sync_data)
        files.sync_data = self._disk.sync
        self._stores = {
            name: [
                leave.enter_context(contentdb.open(self._root, namespace=name)) for _ in range(3)
            ]
            for name in ("default", _OTHER)
        }
        for store in itertools.chain(*self._stores.values()):
            store.add(store.namespace.encode())
        self._number = 0

    def play(self, name: str, switches: tuple[Switch, ...]) -> tuple[list[str], int]:
        """Play a scene by a schedule; return what was wrong, and its steps."""
        self._number += 1
        there, actors = SCENES[name]
        run = Run(self._root, self._number, self._disk)
        stores = [self._stores[namespace][number] for number, (_, namespace) in enumerate(actors)]
        if there:
            for store in stores:
                store.add(run.content)
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
        return wrong, stepper.steps


_PROGRAM: Final = """
import pickle, sys
from tests.crash import mutants
plan = pickle.loads(sys.stdin.buffer.read())
mutants.apply(plan.mutant)
from tests.stress.unsynced import unsynced
outcome = unsynced(plan._replace(mutant=None))
sys.stdout.buffer.write(pickle.dumps(outcome))
"""


def unsynced(plan: Plan) -> Outcome:
    """Run every scene by many schedules."""
    if plan.mutant is not None:  # it is made when the store is imported
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM],
            input=pickle.dumps(plan),
            capture_output=True,
            check=True,
        )
        outcome: Outcome = pickle.loads(done.stdout)  # noqa: S301 - our own child's
        return outcome
    return perform(plan, "unsynced", {name: len(SCENES[name][1]) for name in SCENES}, Theatre)
