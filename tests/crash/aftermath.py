"""What must hold after an exception was raised in an act: judged in its process and in another.

The act is done or not done; nothing deferred happens later; no lock, ref, descriptor, thread or
temporary file is left; this process and others go on using the store, and so does a fork.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import re
import threading
import time
from typing import TYPE_CHECKING, Any, Final

import contentdb
from contentdb.local.index import State, live
from tests.crash.acts import ACTS, OTHER, Act, Scene, data_of, name_of
from tests.crash.ledger import content, digest_of
from tests.crash.looking import look

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["ASIDE", "IN_HANDLER", "Aftermath", "descriptors", "finish", "visit"]

ASIDE: Final = tuple(range(60, 68))
"""Contents that no act stores."""
_BEFORE_ALL, _AFTER_READDING, _IN_FORK, _BY_OTHER, _AT_LAST, IN_HANDLER = ASIDE[:6]

_SETTLE_S: Final = 0.5
_AT_ONCE_S: Final = 3.0
_SERVER_S: Final = 1.5
_POLL_S: Final = 0.01
_NUMBERED: Final = re.compile(r"#\d+|\[\d+\]|[0-9a-f]{8,}")

Seen = dict[str, Any]


def descriptors(scene: Scene) -> dict[str, int]:
    """What is open, and how often."""
    found: dict[str, int] = {}
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself
            path = os.readlink(f"/proc/self/fd/{fd}").replace(str(scene.root), "ROOT")
            path = _NUMBERED.sub("#", path.replace(str(scene.outside), "OUTSIDE"))
            found[path] = found.get(path, 0) + 1
    return found


def _is_kept_by_sqlite(count: int, allowed: int) -> bool:
    """Whether one of the index's descriptors is of no connection any more.

    Closing it would free the locks of the other connections (howtocorrupt.html, 2.2), so SQLite
    keeps it, and gives it to the next connection that is opened.
    """
    gc.collect()  # a lost connection and its cache of statements refer to each other
    connections = len(live._open)
    return 0 < connections <= allowed and count == connections + 1


def _more(now: dict[str, int], before: dict[str, int]) -> list[str]:
    return sorted(path for path, count in now.items() if count > before.get(path, 0))


class Aftermath:
    """The judge in the process of the act.

    Args:
        act: Which.
        scene: After it.
        states: What another process saw before the act and after each of its steps.
        ask: Asks another process; see `visit` and `look`.
        say: Takes a finding, or the name of what is tried next.
    """

    def __init__(
        self,
        act: Act,
        scene: Scene,
        states: list[Seen],
        ask: Callable[..., Any],
        say: Callable[[str, str], None],
    ) -> None:
        self.act = act
        self.scene = scene
        self.states = states
        self.ask = ask
        self._say = say
        self.touched = act.touched
        self._left: set[str] = set()

    def found(self, kind: str, detail: object = "") -> None:
        """Tell a finding."""
        self._say("found", f"{kind}: {detail}" if detail != "" else kind)

    @contextlib.contextmanager
    def trying(self, phase: str) -> Iterator[None]:
        """Name what is tried; whatever it raises is a finding."""
        self._say("trying", phase)
        try:
            yield
        except Exception as error:  # noqa: BLE001 - it is the finding
            self.found(f"{phase} failed", f"{type(error).__name__}: {error}"[:300])

    def handled(self, *, served: bool) -> None:
        """A handler has stored content, or tried to: it is there, or is whatever it is."""
        self.touched = (*self.act.touched, IN_HANDLER)
        if served and digest_of(IN_HANDLER) not in self.ask("look")["blobs"]:
            self.found("an acknowledged add is not there", "that of a handler")

    # -- at once -------------------------------------------------------------------------------

    def settle(self, threads: set[threading.Thread]) -> None:
        """Let threads end that are about to; those that stay are a finding."""
        gc.collect()
        if self.act.remote and self.scene.store is not None:
            return  # a channel has threads until it is closed
        deadline = time.monotonic() + _SETTLE_S
        while (left := self._threads() - threads) and time.monotonic() < deadline:
            time.sleep(0.002)
        for thread in left:
            if self.scene.writer is None or self.scene.writer.closed:
                self.found("thread left", thread.name)

    def _threads(self) -> set[threading.Thread]:
        return set(threading.enumerate()) - set(self.scene.threads)

    def look(self) -> Seen:
        """What another process sees; a server may first have to end what its client left."""
        seen: Seen = self.ask("look")
        deadline = time.monotonic() + _SERVER_S
        while self.act.remote and time.monotonic() < deadline:
            time.sleep(_POLL_S)
            before, seen = seen, self.ask("look")
            free = not (seen["root_locked"] or seen["busy"] or self._strangely_held(seen))
            if seen == before and free:
                break
        return seen

    def _strangely_held(self, seen: Seen) -> list[str]:
        writer = self.scene.writer
        live = writer is not None and not writer.closed
        return [ref for ref in seen["held"] if not (live and ref == writer.ref)]

    def at_once(self, allowed: dict[str, int] | None) -> Seen:
        """Look at locks, leftovers and descriptors before anything else is done.

        Args:
            allowed: What may be open now, in the caches of an open store too; None: anything.
        """
        seen = self.look()
        if seen["root_locked"]:
            self.found("the root's lock is held")
        if seen["packs_locked"]:
            self.found("the lock on packs/ is held")
        if seen["busy"]:
            self.found("a write transaction is left open")
        for ref in self._strangely_held(seen):
            self.found("ref held", ref if ref in dict(self.act.refs) else "an unknown one")
        was = self.states[0]
        for folder in ("temporaries", "trash"):
            if left := sorted(set(seen[folder]) - set(was[folder])):
                name = "ingest/" if folder == "temporaries" else "trash/"
                self.found(f"file left in {name} until the next opening", len(left))
        if set(seen["unknown"]) - set(was["unknown"]):
            self.found("file in ingest/ without a row")
        closing = self.scene.store is None or self.act.run is ACTS["close"].run
        if allowed is not None and not closing:
            self._check_descriptors("descriptor left", allowed)
        self._check_done(seen)
        return seen

    def _check_descriptors(self, kind: str, before: dict[str, int]) -> None:
        if self.act.remote:
            return  # gRPC keeps some of its own, and closes others when it likes to
        now = descriptors(self.scene)
        for path in _more(now, before):
            shown = path.removesuffix(" (deleted)")
            if path == "ROOT/index.sqlite" and _is_kept_by_sqlite(now[path], before.get(path, 0)):
                continue
            if shown not in self._left:
                self._left.add(shown)
                self.found(kind, shown)

    def _check_done(self, seen: Seen) -> None:
        """Each blob and each ingest is as before the step that was cut off, or as after one."""
        possible = self.states[self.scene.done :] or self.states[-1:]
        digests = {digest for state in possible for digest in state["blobs"]} | set(seen["blobs"])
        for digest in digests - {digest_of(IN_HANDLER)}:
            now = seen["blobs"].get(digest)
            if now not in [state["blobs"].get(digest) for state in possible]:
                self.found("neither done nor not done", f"{digest[:14]} is {now}")
            spoilt = digest in map(name_of, self.act.spoilt)
            if not spoilt and now and now[0] == State.LIVE and digest not in seen["files"]:
                self.found("listed without its file", digest[:14])
        for ref in {ref for state in possible for ref in state["ingests"]} | set(seen["ingests"]):
            if ref not in dict(self.act.refs):
                self.found("an ingest that no caller knows", re.sub(r"[0-9a-f-]{36}", "…", ref))
            elif ref not in seen["ingests"] and all(ref in s["ingests"] for s in possible):
                self.found("an ingest is gone", ref)
        if self.act.keeps:
            self._check_kept(seen)

    def _check_kept(self, seen: Seen) -> None:
        for ref, number in self.act.refs:
            before = self.states[self.scene.done]["ingests"].get(ref)
            if before is None or not before[0] or name_of(number) in seen["blobs"]:
                continue
            now = seen["ingests"].get(ref)
            if now is None or now[0] < before[0]:
                self.found("an ingest lost bytes", f"{before[0]} -> {now and now[0]}")

    def sources(self) -> None:
        """A file that was to be added is where it was, or a blob."""
        for number in range(16):
            path = self.scene.source(number)
            if path.exists() or f"source-{number}" not in self.scene.outside_before:
                continue
            if not self.act.name.endswith("add-move") or not self.scene.store.exists(
                digest_of(number)
            ):
                self.found("the source is gone", path.name)
        strange = set(os.listdir(self.scene.outside)) - self.scene.outside_before - {"exported"}
        if strange:
            self.found("file left beside a target outside", len(strange))
        exported = self.scene.outside / "exported"
        if exported.exists() and exported.read_bytes() != content(900):
            self.found("the exported file is not whole")

    def open_again(self, open_before: dict[str, int]) -> None:
        """Where no store is open any more, nothing of one is left, and another can be opened."""
        self._check_descriptors("descriptor left", open_before)
        with self.trying("open"):
            if self.act.remote:
                self.scene.store = contentdb.connect(str(self.scene.address))
                return
            try:
                self.scene.store = contentdb.open(self.scene.root)
            except contentdb.IndexDamagedError:
                if not self.act.name.endswith("reindex-lost"):
                    raise
                contentdb.reindex(self.scene.root)
                self.scene.store = contentdb.open(self.scene.root)

    # -- going on ----------------------------------------------------------------------------------

    def view(self, seen: Seen) -> None:
        """This process sees what another sees."""
        store = self.scene.store
        with self.trying("walk"):
            listed = {str(info.digest): [info.size, dict(info.labels)] for info in store.walk()}
            there = {d: row[1:] for d, row in seen["blobs"].items() if row[0] == State.LIVE}
            for digest in listed.keys() ^ there.keys():
                self.found("this process and others list different blobs", digest[:14])
            for digest in listed.keys() & there.keys():
                if listed[digest] != there[digest]:
                    self.found("this process and others tell different labels", digest[:14])
        for number in self.touched:
            self._view_one(number, seen)

    def _view_one(self, number: int, seen: Seen) -> None:
        store, digest = self.scene.store, name_of(number)
        if number in self.act.spoilt:
            return
        with self.trying("exists"):
            if store.exists(digest) != (digest in seen["blobs"]):
                self.found("exists contradicts the index", digest[:14])
        with self.trying("read"):
            try:
                right = store.read(digest) == data_of(number)
            except contentdb.NotFoundError:
                if digest in seen["blobs"]:
                    self.found("listed and not served", digest[:14])
                return
            if not right:
                self.found("wrong bytes are served", digest[:14])
            if digest in seen["tombstones"]:
                self.found("deleted and still served by read", digest[:14])
        with self.trying("info"), contextlib.suppress(contentdb.NotFoundError):
            info = store.info(digest)
            row = seen["blobs"].get(digest)
            if row is None:
                self.found("info tells of what is not listed", digest[:14])
            elif [info.size, dict(info.labels)] != row[1:]:
                self.found("info contradicts the index", digest[:14])

    def nothing_later(self, seen: Seen) -> Seen:
        """What was not done is not done by the next write."""
        store = self.scene.store
        with self.trying("add"):
            store.add(content(_BEFORE_ALL))
        now = self.look()
        if now["blobs"].pop(digest_of(_BEFORE_ALL), None) is None:
            self.found("an acknowledged add is not there", "unrelated content")
        for digest in now["blobs"].keys() ^ seen["blobs"].keys():
            what = "comes" if digest in now["blobs"] else "goes"
            self.found(f"deferred: a blob {what} with the next write", digest[:14])
        for digest in now["blobs"].keys() & seen["blobs"].keys():
            if now["blobs"][digest] != seen["blobs"][digest]:
                self.found("deferred: a blob changes with the next write", digest[:14])
        for ref in now["ingests"].keys() ^ seen["ingests"].keys():
            what = "comes" if ref in now["ingests"] else "goes"
            self.found(f"deferred: an ingest {what} with the next write", ref)
        return now

    def again(self) -> None:
        """Content that is stored now stays, whatever was going on with it."""
        store = self.scene.store
        for number in self.touched:
            with self.trying("add again"):
                if store.add(data_of(number)).digest != name_of(number):
                    self.found("an add tells another digest")
        with self.trying("add"):
            store.add(content(_AFTER_READDING))
        now = self.look()
        for number in self.touched:
            digest = name_of(number)
            if number in self.act.spoilt:
                continue  # to store is not to verify
            if digest not in now["blobs"] or digest not in now["files"]:
                self.found("LOST: an acknowledged add is gone after another write", digest[:14])
                continue
            with self.trying("read again"):
                if store.read(digest) != data_of(number):
                    self.found("wrong bytes are served", digest[:14])

    def go_on(self) -> None:
        """What the caller has in hand still works."""
        with self.trying("going on"):
            self.act.then(self.scene)
        with self.trying("closing the writer"):
            if self.scene.writer is not None:
                self.scene.writer.close()
        self.scene.writer = None
        for fault in self.scene.faults:
            self.found("going on", fault)
        self.scene.faults.clear()

    def fork(self) -> None:
        """A child of this process uses the store that it got; a served one refuses at once."""
        self._say("trying", "fork")
        if self.act.remote:
            self._fork_refused()
            return
        child = os.fork()
        if child == 0:
            code = 1
            try:
                self.scene.store.add(content(_IN_FORK))
                code = 0 if self.scene.store.read(digest_of(_IN_FORK)) else 2
            except BaseException as error:  # noqa: BLE001 - it is the finding
                self.found("a fork cannot use the store", f"{type(error).__name__}: {error}"[:300])
            finally:
                os._exit(code)
        os.waitpid(child, 0)
        with self.trying("read what a fork stored"):
            if self.scene.store.read(digest_of(_IN_FORK)) != content(_IN_FORK):
                self.found("wrong bytes are served", "of a fork")

    def _fork_refused(self) -> None:
        child = os.fork()
        if child == 0:
            try:
                self.scene.store.exists(digest_of(900))
                self.found("a fork uses its parent's connection")
            except contentdb.UnsafeForkError:
                self.scene.store.close()
            except BaseException as error:  # noqa: BLE001 - it is the finding
                self.found("a fork is refused in other words", f"{type(error).__name__}: {error}")
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        with self.trying("reading after a fork"):
            if self.scene.store.read(digest_of(900)) != content(900):
                self.found("wrong bytes are served", "after a fork")

    def others(self) -> None:
        """Another process uses the store beside this one."""
        self._say("trying", "another process")
        for what in self.ask("visit", refs=dict(self.act.refs), spoilt=self.act.spoilt):
            self.found(what)

    def end(self, threads: set[threading.Thread], open_before: dict[str, int]) -> None:
        """Use the store once more, close it, and see that nothing is left open."""
        store = self.scene.store
        with self.trying("use"):
            if store.read(digest_of(_BY_OTHER)) != content(_BY_OTHER):
                self.found("wrong bytes are served", "of another process")
            store.add(content(_AT_LAST))
            store.update(digest_of(_AT_LAST), {"a": "b"})
            if store.info(digest_of(_AT_LAST)).labels != {"a": "b"}:
                self.found("a new label is not there")
            store.delete(digest_of(_AT_LAST))
            with store.writer("aside") as writer:
                writer.write(content(_AT_LAST))
                writer.commit()
            list(store.statuses())
        with self.trying("close"):
            store.close()
            store.close()
        self.scene.store = None
        self.settle(threads)
        self._check_descriptors("descriptor left after the close", open_before)


# -- in another process ----------------------------------------------------------------------------


def visit(root: Path, refs: dict[str, int], spoilt: tuple[int, ...]) -> list[str]:
    """Use a store that the disturbed process has open; what is wrong."""
    seen = look(root)
    if seen["root_locked"] or seen["busy"]:
        return ["another process cannot write: the lock is held"]
    found: list[str] = []
    with contentdb.open(root) as store:
        for ref, number in refs.items():
            found += _finish_ref(store, ref, number, held=ref in seen["held"])
        began = time.monotonic()
        store.add(content(_BY_OTHER))
        if time.monotonic() - began > _AT_ONCE_S:
            found.append("another process's write has to wait")
        for info in store.walk():
            try:
                store.read(info.digest)
            except contentdb.ContentDBError as error:
                if info.digest not in map(name_of, spoilt):
                    found.append(f"listed and not whole: {type(error).__name__}")
    return found


def _finish_ref(store: contentdb.Store, ref: str, number: int, *, held: bool) -> Iterator[str]:
    """The ref is free, and what it holds is the beginning of its content."""
    if held:
        yield "another process cannot have the ref: it is held"
        return
    data = data_of(number)
    with store.writer(ref, resume=True, wait=0.2) as writer:  # an ingest would replace wrong bytes
        kept, algorithm = writer.offset, writer.digest.algorithm
        beginnings = {contentdb.Digest.of(one[:kept], algorithm) for one in (data, content(OTHER))}
        if writer.digest not in beginnings:
            yield "what is kept of the ingest is not the beginning of its content"
    try:
        info = store.ingest(ref, io.BytesIO(data), expected=name_of(number), wait=0.2)
    except contentdb.ContentDBError as error:
        yield f"the ingest cannot be finished: {type(error).__name__}: {error}"
        return
    if info.digest != name_of(number) or store.read(info.digest) != data:
        yield "the ingest was finished with wrong content"


def finish(root: Path, touched: tuple[int, ...], spoilt: tuple[int, ...]) -> list[str]:
    """Look at the store after its process has ended; what is wrong.

    Args:
        root: The store.
        touched: Contents that must be there.
        spoilt: Contents that may be damaged.
    """
    found: list[str] = []
    contentdb.open(root).close()
    seen = look(root)
    for folder, name in (("temporaries", "ingest/"), ("trash", "trash/")):
        if seen[folder]:
            found.append(f"file left in {name} after the next opening: {len(seen[folder])}")
    if seen["tombstones"]:
        found.append("a deletion is unfinished after the next opening")
    with contentdb.open(root) as store:
        found += [
            f"verify: {finding.kind}: {finding.detail}"
            for finding in store.verify()
            if finding.digest not in [name_of(number) for number in spoilt]
        ]
        for number in {*touched} - {*spoilt}:
            if store.read(name_of(number)) != data_of(number):
                found.append("wrong bytes are served")
            store.delete(name_of(number))
        listed = {str(info.digest) for info in store.walk()}
    if (root / "packs").exists() and not spoilt:
        found += _compare_rebuilt(root, listed)
    return found


def _compare_rebuilt(root: Path, listed: set[str]) -> Iterator[str]:
    """What is listed is in an index that is made from records and files alone, and nothing else."""
    for path in root.glob("index.sqlite*"):
        path.unlink()
    contentdb.reindex(root)
    with contentdb.open(root) as store:
        again = {str(info.digest) for info in store.walk()}
    if again - listed:
        yield f"a deleted blob is in an index that is built anew: {len(again - listed)}"
    if listed - again:
        yield f"LOST: a blob is not in an index that is built anew: {len(listed - again)}"
