"""What a store is doing when an exception is raised in it: one act each, on a small store.

`prepare` builds the store in a process of its own, `ready` gets this process so far, undisturbed;
`run` is disturbed, and `then` is what its caller does afterwards with what it has in hand.
"""

from __future__ import annotations

import contextlib
import copy
import io
import math
import os
import sqlite3
import threading
from collections import deque
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import contentdb
from contentdb.local.index import State
from tests.crash.ledger import bound_for, content, digest_of
from tests.crash.packedacts import PACK_BELOW, packed_acts
from tests.inside import parts_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["ACTS", "Act", "Scene", "data_of", "name_of", "stored"]

LARGE: Final = bound_for("00", b"a large piece that is hashed beside the writing\n" * 14_000)
"""Two pieces of it are hashed in a thread of their own."""
LARGE_DIGEST: Final = "sha256:" + sha256(LARGE).hexdigest()
_HALF: Final = 300_000
_PATIENCE_S: Final = 3.0


def data_of(number: int) -> bytes:
    """The content of a number; -1 is the large one."""
    return LARGE if number < 0 else content(number)


def name_of(number: int) -> str:
    """The digest of `data_of`."""
    return LARGE_DIGEST if number < 0 else digest_of(number)


_STORED: Final = (900, 901, 902)
"""What a store has before anything is done to it."""


class Scene:
    """A store, and what the act's caller has in hand."""

    def __init__(self, root: Path, outside: Path, store: Any = None) -> None:  # noqa: ANN401 - local or remote
        self.root = root
        self.outside = outside
        self.outside_before: set[str] = set()
        self.address = root.with_name("socket")
        """Where a server is, for a `remote` act."""
        self.store = store
        self.writer: Any = None
        self.reader: Any = None
        self.threads: list[threading.Thread] = []
        """Those of the scene itself."""
        self.done = 0
        """How many steps of the act have returned."""
        self.faults: list[str] = []
        self.on_step: Callable[[], None] = lambda: None

    def did(self) -> None:
        """Say that a step has returned: from now on its effect must be there."""
        self.done += 1
        self.on_step()

    def source(self, number: int) -> Path:
        """A file outside of the store with the content of a number; `ready` makes it."""
        return self.outside / f"source-{number}"


def _nothing(scene: Scene) -> None:
    """No more is to be done."""


class Act(NamedTuple):
    """One act, and what the judge must know of it."""

    name: str
    run: Callable[[Scene], None]
    prepare: Callable[[Scene], None] = _nothing
    ready: Callable[[Scene], None] = _nothing
    then: Callable[[Scene], None] = _nothing
    touched: tuple[int, ...] = ()
    """Contents that come or go."""
    refs: tuple[tuple[str, int], ...] = ()
    """Ingests that come or go, and of which content; -1 is `LARGE`."""
    opens: bool = True
    """Whether a store is opened before."""
    keeps: bool = True
    """Whether what an ingest had before is there afterwards, as an ingest or as a blob."""
    spoilt: tuple[int, ...] = ()
    """Contents that `prepare` has damaged."""
    makes: bool = True
    """Whether `prepare` begins with a store of three blobs."""
    urgent: bool = False
    """Whether `then` comes before anything else is written."""
    remote: bool = False
    """Whether another process serves the store, and this one is its client."""
    packed: bool = False
    """Whether `prepare` begins with a store that packs."""


def _stored(scene: Scene, below: int) -> None:
    with contentdb.open(scene.root, pack_below=below) as store:
        for number in _STORED:
            store.add(content(number), labels={"number": str(number)})


OTHER: Final = 9
"""What an ingest held before another source came; the two begin with the same few bytes."""


def _drain(steps: Any) -> None:  # noqa: ANN401 - a list or an iterator of anything
    for _ in steps:
        pass


# -- opening and closing ---------------------------------------------------------------------------


def _open(scene: Scene) -> None:
    scene.store = contentdb.open(scene.root)
    scene.did()


def _open_for_group(scene: Scene) -> None:
    scene.store = contentdb.open(scene.root, shared="group")
    scene.did()


def _open_to_read(scene: Scene) -> None:
    """No other process has it open, or this one does: the index is read in either way."""
    with contentdb.open(scene.root, mode="r") as store:
        if store.info(digest_of(900)).size != len(content(900)):
            scene.faults.append("another blob is described")
        if len(list(store.walk())) < len(_STORED):
            scene.faults.append("not all is listed")
    scene.did()


def _copy(scene: Scene) -> None:
    """It is opened anew, and closed by itself."""
    with copy.copy(scene.store) as made:
        if not made.exists(digest_of(900)):
            scene.faults.append("a copy has nothing")
    scene.did()


def _open_other(scene: Scene) -> None:
    contentdb.open(scene.root, namespace="other", durability="process").close()
    scene.did()


def _litter(scene: Scene) -> None:
    """A deletion cut off half-way, a dead process's temporary file, a file in the trash."""
    connection = sqlite3.connect(scene.root / "index.sqlite")
    with contextlib.closing(connection), connection:
        connection.execute(
            "UPDATE blobs SET state = ? WHERE digest = ?", (State.TOMBSTONE, digest_of(901))
        )
    (scene.root / "ingest" / f".{'0' * 32}").write_bytes(b"")
    (scene.root / "ingest" / f".{'0' * 32}-1").write_bytes(b"left")
    (scene.root / "trash" / "left").write_bytes(b"left")


def _close(scene: Scene) -> None:
    scene.store.close()
    scene.did()


def _used(scene: Scene) -> None:
    """So that all connections are open."""
    scene.store.update(digest_of(900), {"used": "1"})
    scene.store.info(digest_of(900))


def _used_with_writer(scene: Scene) -> None:
    _used(scene)
    _begun(scene)


def _fork(scene: Scene) -> None:
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(Exception):
            scene.store.add(content(6))
            code = 0 if scene.store.read(digest_of(900)) == content(900) else 2
        os._exit(code)
    status = os.waitpid(child, 0)[1]
    if status:
        scene.faults.append(f"the child of the fork ended with {status}")
    scene.did()


# -- ingests -----------------------------------------------------------------------------------


def _half(scene: Scene) -> None:
    """An ingest that was left half-way."""
    with contentdb.open(scene.root) as store, store.writer("half", total=len(content(3))) as writer:
        writer.write(content(3)[:30_000])


def _half_large(scene: Scene) -> None:
    with contentdb.open(scene.root) as store, store.writer("half", total=len(LARGE)) as writer:
        writer.write(LARGE[:_HALF])


def _begin(scene: Scene) -> None:
    with scene.store.writer("new/ref", total=len(content(3)), expected=digest_of(3)):
        scene.did()


def _begin_held(scene: Scene) -> None:
    with contextlib.suppress(contentdb.RefLockedError):
        scene.store.writer("ref", wait=0.001)
    scene.did()


def _resume(scene: Scene) -> None:
    with scene.store.writer("half", resume=True) as writer:
        scene.did()
        writer.write(content(3)[30_000:])
        scene.did()
        writer.commit(size=len(content(3)), expected=digest_of(3), labels={"a": "b"})
        scene.did()


def _start_over(scene: Scene) -> None:
    with scene.store.writer("half", total=len(content(3)), metadata={"try": "2"}) as writer:
        scene.did()
        writer.write(content(3)[:20_000])
    scene.did()


def _half_other(scene: Scene) -> None:
    """An ingest that was left half-way, of something else."""
    with contentdb.open(scene.root) as store, store.writer("half", total=10**6) as writer:
        writer.write(content(OTHER)[:30_000])


def _begun(scene: Scene) -> None:
    scene.writer = scene.store.writer("ref")
    scene.writer.write(content(3)[:20_000])


def _begun_large(scene: Scene) -> None:
    scene.writer = scene.store.writer("ref")
    scene.writer.write(LARGE[:_HALF])


def _written(scene: Scene) -> None:
    scene.writer = scene.store.writer("ref")
    scene.writer.write(content(3))


def _write(scene: Scene) -> None:
    for start in range(20_000, 60_000, 20_000):
        scene.writer.write(content(3)[start : start + 20_000])
        scene.did()


def _write_large(scene: Scene) -> None:
    scene.writer.write(LARGE[_HALF:])
    scene.did()


def _go_on(scene: Scene, data: bytes, digest: str) -> None:
    """The caller goes on by the writer's own offset."""
    writer = scene.writer
    if writer is None or writer.closed:
        return
    if writer.status().offset != writer.offset:
        scene.faults.append("the writer's status has another offset than the writer")
    writer.write(data[writer.offset :])
    writer.commit(size=len(data), expected=digest)


def _truncate(scene: Scene) -> None:
    scene.writer.truncate()
    scene.did()


def _ask(scene: Scene) -> None:
    writer = scene.writer
    if writer.digest != "sha256:" + sha256(content(3)[:20_000]).hexdigest():
        scene.faults.append("the running digest is wrong")
    writer.status()
    scene.did()


def _commit(scene: Scene) -> None:
    scene.writer.commit(expected=digest_of(3), labels={"a": "b"})
    scene.did()


def _commit_wrong(scene: Scene) -> None:
    with contextlib.suppress(contentdb.SizeMismatchError):
        scene.writer.commit(size=1)
    scene.did()


def _written_again(scene: Scene) -> None:
    scene.writer = scene.store.writer("ref")
    scene.writer.write(content(900))


def _commit_again(scene: Scene) -> None:
    with contextlib.suppress(contentdb.AlreadyExistsError):
        scene.writer.commit()
    scene.did()


def _close_writer(scene: Scene) -> None:
    scene.writer.close()
    scene.did()


def _ingest(scene: Scene, ref: str, data: bytes, expected: str | None = None) -> None:
    scene.store.ingest(ref, io.BytesIO(data), expected=expected, labels={"a": "b"})
    scene.did()


# -- without a ref -----------------------------------------------------------------------------


def _add(scene: Scene, number: int) -> None:
    scene.store.add(content(number), labels={"a": "b"})
    scene.did()


def _add_stream(scene: Scene, data: bytes) -> None:
    scene.store.add(io.BytesIO(data))
    scene.did()


def _sources(scene: Scene, *numbers: int) -> None:
    for number in numbers:
        scene.source(number).write_bytes(content(number))


def _add_path(scene: Scene, link: str, number: int = 3) -> None:
    scene.store.add(scene.source(number), link=link)
    scene.did()


_MANY: Final = (0, 1, 3, 6, 7, 9, 10, 12, 13, 15)


def _closing_by_count(_: Scene) -> None:
    """Let no group of `add_many` close because a source took its time: under load each would."""
    from contentdb.local.commit import add_many

    add_many._SLOW_S = math.inf  # type: ignore[misc]


def _add_many(scene: Scene) -> None:
    for _ in scene.store.add_many([content(number) for number in _MANY]):
        scene.did()


def _add_many_dropped(scene: Scene) -> None:
    answers = scene.store.add_many([content(number) for number in _MANY])
    next(answers)
    scene.did()
    next(answers)
    scene.did()
    answers.close()


def _paths_ready(scene: Scene) -> None:
    _closing_by_count(scene)
    _sources(scene, 0, 1, 3)


def _add_many_paths(scene: Scene) -> None:
    for _ in scene.store.add_many([scene.source(number) for number in (0, 1, 3)]):
        scene.did()


def _add_labels(scene: Scene) -> None:
    """To content that is stored: alone, with others, and in a block."""
    scene.store.add(content(900), labels={"a": "1"})
    scene.did()
    _drain(scene.store.add_many([content(900), content(901)], labels={"b": "2"}))
    scene.did()
    with scene.store.batch():
        scene.store.add(content(902), labels={"c": "3"})
    scene.did()


def _batch(scene: Scene) -> None:
    with scene.store.batch():
        for number in (0, 1):
            scene.store.add(content(number))
        scene.writer.commit()
    scene.did()


# -- managing ------------------------------------------------------------------------------------


def _delete(scene: Scene) -> None:
    scene.store.delete(digest_of(901))
    scene.did()


def _delete_two(scene: Scene) -> None:
    for number in (901, 902):
        scene.store.delete(digest_of(number))
        scene.did()


def _delete_many(scene: Scene) -> None:
    scene.store.delete_many([digest_of(901), digest_of(902)])
    scene.did()


def _delete_again(scene: Scene) -> None:
    """A blob of which the store remembers the Info, stored once more and deleted again."""
    scene.store.delete(digest_of(901))
    scene.did()
    scene.store.add(content(901))
    scene.did()
    scene.store.delete(digest_of(901))
    scene.did()


def _update(scene: Scene) -> None:
    scene.store.update(digest_of(900), {"a": "1", "b": "2"})
    scene.did()
    scene.store.update(digest_of(900), {"a": "3"}, fields=["labels.a", "labels.b"])
    scene.did()


class _Queue(deque[Any]):
    """A queue of writers whose one thread falls asleep between queueing and taking its turn."""

    def __init__(self, sleeper: str) -> None:
        super().__init__()
        self.sleeper = sleeper
        self.queued = threading.Event()
        self.awake = threading.Event()

    def append(self, job: Any) -> None:  # noqa: ANN401 - the index's own
        super().append(job)
        if threading.current_thread().name == self.sleeper:
            self.queued.set()
            self.awake.wait()


def _database(scene: Scene) -> Any:  # noqa: ANN401 - the index's own
    index: Any = parts_of(scene.store).index
    return index._database


def _queue_other(scene: Scene, owner: Any, call: Callable[[], object]) -> None:  # noqa: ANN401 - has the queue
    """Let another thread's job wait for the turn: it is for the act's thread to run."""
    queue = _Queue("other")
    owner._queue = queue
    fault = "the other thread has no answer"
    scene.faults.append(fault)

    def run() -> None:
        try:
            call()
        except contentdb.ContentDBError as error:
            scene.faults[0] = f"the other thread is refused: {error}"
        else:
            scene.faults.remove(fault)

    thread = threading.Thread(target=run, name="other", daemon=True)
    scene.threads.append(thread)
    thread.start()
    queue.queued.wait()


def _other_queued(scene: Scene) -> None:
    _used(scene)
    update = partial(scene.store.update, digest_of(901), {"by": "another"})
    _queue_other(scene, _database(scene), update)


def _let_other_go_on(scene: Scene) -> None:
    _database(scene)._queue.awake.set()
    scene.threads[0].join(_PATIENCE_S)
    if scene.store.info(digest_of(901)).labels != {"by": "another"} and not scene.faults:
        scene.faults.append("the other thread's change is acknowledged and not there")


def _other_add_queued(scene: Scene) -> None:
    _used(scene)
    _queue_other(scene, parts_of(scene.store).appender, partial(scene.store.add, content(1)))


def _let_other_add_go_on(scene: Scene) -> None:
    appender: Any = parts_of(scene.store).appender
    appender._queue.awake.set()
    scene.threads[0].join(_PATIENCE_S)
    if not scene.store.exists(digest_of(1)) and not scene.faults:
        scene.faults.append("the other thread's content is acknowledged and not there")


def _update_both(scene: Scene) -> None:
    scene.store.update(digest_of(900), {"by": "this"})
    scene.did()


def _walk(scene: Scene, *filters: str, sort: str = "digest") -> None:
    if not list(scene.store.walk(*filters, sort=sort)):
        scene.faults.append("nothing is listed")
    scene.did()


def _walk_dropped(scene: Scene) -> None:
    infos = scene.store.walk()
    next(infos)
    del infos
    scene.did()


def _read(scene: Scene) -> None:
    scene.store.read(digest_of(900))
    with scene.store.open(digest_of(901)) as reader:
        reader.read()
    scene.did()


def _path(scene: Scene) -> None:
    scene.store.path(digest_of(901))
    scene.did()


def _connect(scene: Scene) -> None:
    scene.store = contentdb.connect(str(scene.address))
    scene.store.exists(digest_of(900))
    scene.did()


def _ask_blob(scene: Scene) -> None:
    store = scene.store
    store.info(digest_of(900))
    store.exists(digest_of(1))
    store.resolve(digest_of(900)[7:20])
    store.usage()
    scene.did()


def _opened(scene: Scene) -> None:
    scene.reader = scene.store.open(digest_of(900))
    scene.reader.read(100)


def _read_on(scene: Scene) -> None:
    scene.reader.read(100)
    scene.reader.seek(-100, 2)
    scene.reader.read()
    scene.did()


def _read_rest(scene: Scene) -> None:
    """The caller goes on by the reader's own place."""
    with scene.reader as reader:
        at = reader.tell()
        if reader.read() != content(900)[at:]:
            scene.faults.append("the reader goes on with other bytes than those at its place")
        reader.seek(0)
        if reader.read() != content(900):
            scene.faults.append("the reader reads other bytes")


def _export(scene: Scene, link: str) -> None:
    scene.store.export(digest_of(900), scene.outside / "exported", link=link)
    scene.did()


def _statuses(scene: Scene) -> None:
    scene.store.status("half")
    list(scene.store.statuses())
    list(scene.store.statuses("offset>1"))
    scene.did()


def _abort(scene: Scene) -> None:
    scene.store.abort("half")
    scene.did()


# -- upkeep --------------------------------------------------------------------------------------


def _abandoned(scene: Scene) -> None:
    """An ingest, an orphan, a dead process's file, a file in the trash."""
    _half(scene)
    orphan = digest_of(4)[7:]
    _plant(scene.root / "blobs" / "sha256" / orphan[:2] / orphan, content(4))
    _plant(scene.root / "trash" / digest_of(11)[7:], content(11))
    _plant(scene.root / "ingest" / ("0" * 32), b"left over")


def _plant(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    path.chmod(0o444)


def _damaged(scene: Scene) -> None:
    """An orphan, a damaged blob, a missing file, a blob that can be written to."""
    with contentdb.open(scene.root) as store:
        for number in (0, 1, 3):
            store.add(content(number))
        damaged, missing, writable = (store.path(digest_of(number)) for number in (0, 1, 3))
    orphan = digest_of(4)[7:]
    _plant(scene.root / "blobs" / "sha256" / orphan[:2] / orphan, content(4))
    damaged.chmod(0o600)
    damaged.write_bytes(b"x" + content(0)[1:])
    damaged.chmod(0o444)
    missing.unlink()
    writable.chmod(0o644)


def _lost(scene: Scene) -> None:
    """A store without its index."""
    for path in scene.root.glob("index.sqlite*"):
        path.unlink()


def _prune(scene: Scene) -> None:
    _drain(scene.store.prune(older_than=0))
    scene.did()


def _verify(scene: Scene, *, quick: bool) -> None:
    _drain(scene.store.verify(quick=quick))
    scene.did()


def _repair(scene: Scene) -> None:
    _drain(contentdb.repair(scene.store, scene.store.verify()))
    scene.did()


def _read_damaged(scene: Scene) -> None:
    with contextlib.suppress(contentdb.CorruptBlobError):
        scene.store.read(digest_of(0))
    scene.did()


def _heal(scene: Scene) -> None:
    with contextlib.suppress(contentdb.CorruptBlobError):
        scene.store.read(digest_of(0))
    scene.did()
    for number in (0, 1, 4):
        scene.store.add(content(number))
        scene.did()


def _reindex(scene: Scene) -> None:
    scene.store.reindex()
    scene.did()


def _reindex_lost(scene: Scene) -> None:
    contentdb.reindex(scene.root)
    scene.did()


_DAMAGED: Final = (0, 1, 3, 4)

_EVERY: Final = (
    Act("open-new", _open, opens=False, makes=False),
    Act("open-new-for-group", _open_for_group, opens=False, makes=False),
    Act("open", _open, opens=False),
    Act("open-litter", _open, prepare=_litter, opens=False, touched=(901,)),
    Act("open-other", _open_other, opens=False),
    Act("open-to-read", _open_to_read, opens=False),
    Act("open-to-read-too", _open_to_read, ready=_used),
    Act("copy", _copy, ready=_used),
    Act("close", _close, ready=_used),
    Act("close-writer-open", _close, ready=_used_with_writer, refs=(("ref", 3),)),
    Act("fork", _fork, ready=_used, touched=(6,)),
    Act("begin", _begin, refs=(("new/ref", 3),)),
    Act("begin-held", _begin_held, ready=_begun, refs=(("ref", 3),)),
    Act("resume", _resume, prepare=_half, touched=(3,), refs=(("half", 3),)),
    Act("start-over", _start_over, prepare=_half, touched=(3,), refs=(("half", 3),), keeps=False),
    Act(
        "write", _write, ready=_begun, then=partial(_go_on, data=content(3), digest=digest_of(3)),
        refs=(("ref", 3),), touched=(3,),
    ),
    Act(
        "write-large", _write_large, ready=_begun_large,
        then=partial(_go_on, data=LARGE, digest=LARGE_DIGEST), refs=(("ref", -1),), touched=(-1,),
    ),
    Act(
        "truncate", _truncate, ready=_begun,
        then=partial(_go_on, data=content(3), digest=digest_of(3)),
        refs=(("ref", 3),), touched=(3,), keeps=False,
    ),
    Act(
        "ask-writer", _ask, ready=_begun,
        then=partial(_go_on, data=content(3), digest=digest_of(3)),
        refs=(("ref", 3),), touched=(3,),
    ),
    Act("commit", _commit, ready=_written, refs=(("ref", 3),), touched=(3,)),
    Act("commit-wrong", _commit_wrong, ready=_written, refs=(("ref", 3),), touched=(3,)),
    Act("commit-again", _commit_again, ready=_written_again, refs=(("ref", 900),), touched=(900,)),
    Act("close-writer", _close_writer, ready=_begun_large, refs=(("ref", -1),), touched=(-1,)),
    Act("ingest", partial(_ingest, ref="ref", data=content(3), expected=digest_of(3)),
        refs=(("ref", 3),), touched=(3,)),
    Act("ingest-resumed", partial(_ingest, ref="half", data=LARGE), prepare=_half_large,
        refs=(("half", -1),), touched=(-1,)),
    Act("ingest-other", partial(_ingest, ref="half", data=content(3)), prepare=_half_other,
        refs=(("half", 3),), touched=(3,), keeps=False),
    Act("ingest-again", partial(_ingest, ref="ref", data=content(900), expected=digest_of(900)),
        refs=(("ref", 900),), touched=(900,)),
    Act("ingest-found", partial(_ingest, ref="ref", data=content(900)),
        refs=(("ref", 900),), touched=(900,)),
    Act("add", partial(_add, number=3), touched=(3,)),
    Act("add-again", partial(_add, number=900), touched=(900,)),
    Act("add-stream", partial(_add_stream, data=content(0)), touched=(0,)),
    Act("add-large", partial(_add_stream, data=LARGE), touched=(-1,)),
    *(
        Act(f"add-{link}", partial(_add_path, link=link), ready=lambda scene: _sources(scene, 3),
            touched=(3,))
        for link in ("copy", "reflink", "hardlink", "move")
    ),
    Act("add-labels", _add_labels, touched=(900, 901, 902)),
    Act("add-many", _add_many, ready=_closing_by_count, touched=_MANY),
    Act("add-many-dropped", _add_many_dropped, ready=_closing_by_count, touched=_MANY),
    Act("add-many-paths", _add_many_paths, ready=_paths_ready, touched=(0, 1, 3)),
    Act("batch", _batch, ready=_written, refs=(("ref", 3),), touched=(0, 1, 3)),
    Act("delete", _delete, touched=(901,)),
    Act("delete-two", _delete_two, ready=_used, touched=(901, 902)),
    Act("delete-again", _delete_again, ready=_used, touched=(901,)),
    Act("delete-many", _delete_many, touched=(901, 902)),
    Act("update", _update, touched=(900,)),
    Act("update-both", _update_both, ready=_other_queued, then=_let_other_go_on, urgent=True),
    Act("walk", _walk),
    Act("walk-filter", lambda scene: _walk(scene, "labels.number==900,size>1", "digest~=sha")),
    Act("walk-sorted", partial(_walk, sort="-size")),
    Act("walk-dropped", _walk_dropped),
    Act("read", _read),
    Act("path", _path),
    Act("ask", _ask_blob),
    Act("read-on", _read_on, ready=_opened, then=_read_rest),
    *(
        Act(f"export-{link}", partial(_export, link=link))
        for link in ("copy", "reflink", "hardlink")
    ),
    Act("statuses", _statuses, prepare=_half, refs=(("half", 3),)),
    Act("abort", _abort, prepare=_half, refs=(("half", 3),), keeps=False),
    Act("prune", _prune, prepare=_abandoned, refs=(("half", 3),), touched=(4,), keeps=False),
    Act("verify", partial(_verify, quick=False)),
    Act("verify-quick", partial(_verify, quick=True)),
    Act("repair", _repair, prepare=_damaged, touched=_DAMAGED, spoilt=_DAMAGED),
    Act("read-damaged", _read_damaged, prepare=_damaged, touched=_DAMAGED, spoilt=_DAMAGED),
    Act("heal", _heal, prepare=_damaged, touched=_DAMAGED, spoilt=_DAMAGED),
    Act("reindex", _reindex, prepare=_damaged, touched=_DAMAGED, spoilt=_DAMAGED),
    Act("reindex-lost", _reindex_lost, prepare=_lost, opens=False),
)  # fmt: skip

_OVER_A_SOCKET: Final = (
    "close", "begin", "begin-held", "resume", "write", "write-large", "truncate", "ask-writer",
    "commit", "commit-wrong", "commit-again", "close-writer", "ingest", "ingest-resumed",
    "ingest-again", "ingest-found", "add", "add-again", "add-large", "add-copy", "add-many",
    "add-many-dropped", "delete-two", "delete-many", "update", "walk", "walk-filter",
    "walk-sorted", "walk-dropped", "read", "ask", "read-on", "export-copy", "statuses", "abort",
)  # fmt: skip

_REMOTE: Final = (
    Act("remote-connect", _connect, opens=False, remote=True),
    *(
        act._replace(name=f"remote-{act.name}", remote=True)
        for act in _EVERY
        if act.name in _OVER_A_SOCKET
    ),
)

_LOOSE: Final = {act.name: act for act in _EVERY}

_PACKED: Final = (
    *packed_acts(_LOOSE),
    Act("packed-add-both", partial(_add, number=0), ready=_other_add_queued,
        then=_let_other_add_go_on, urgent=True, touched=(0, 1), packed=True),
)  # fmt: skip

ACTS: Final = {act.name: act for act in (*_EVERY, *_PACKED, *_REMOTE)}


def stored(scene: Scene, *, packed: bool = False) -> None:
    """Make the store that all acts but a few begin with."""
    _stored(scene, PACK_BELOW if packed else 0)
