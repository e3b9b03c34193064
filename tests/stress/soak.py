"""Eight processes at work on one store, one of them killed every 100 ms, for as long as asked.

Each process keeps a diary, one write(2) a line, of what it was told: the system keeps it when the
process is killed. In the end the store is held to all of them. Contents are of two kinds: those
of one process alone, of which the diary says everything, labels and times too, and those of all,
of which only what is read can be judged. Three of the processes look after the store as well, in
every way there is: they must take nothing from the others. Half of the time goes to a store that
packs its smaller contents, whose keepers move records too.
"""

from __future__ import annotations

import io
import os
import random
import signal
import sqlite3
import time
from contextlib import closing, suppress
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final

import contentdb
from contentdb.local.upkeep import doubts
from tests.crash.suite import Outcome, Plan, Violation
from tests.inside import parts_of
from tests.stress.crew import place, started

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["soak"]

_PROCESSES: Final = 8
_EVERY_S: Final = 0.1
_COMMON: Final = 40
"""Contents that all processes add, read and delete."""
_KEPT: Final = 150
"""Contents of its own that a process keeps before it deletes some."""
_SIZES: Final = (0, 1, 100, 4_096, 9_000, 70_000, 300_000)

_KEEPERS: Final = 3
"""Processes that look after the store as well."""
_UPKEEP: Final = 0.02
_GRACES_S: Final = (0.0, 1.0)
"""How long upkeep allows a commit: none meets one all the time, a second next to never."""

_PACK_BELOW: Final = 5_000

_MOST_WAL_BYTES: Final = 64 << 20
_MOST_DESCRIPTORS: Final = 60
_PATIENCE_S: Final = 60.0


def _content(who: object, number: int) -> bytes:
    line = f"content {who} {number:09d} of the soak\n".encode()
    size = _SIZES[number % len(_SIZES)]
    return (line * (size // len(line) + 1))[: max(size, len(line))]


def _labels(who: object, number: int) -> dict[str, str]:
    return {"of": f"{who}", "number": f"{number}"}


def _digest(data: bytes) -> str:
    return "sha256:" + sha256(data).hexdigest()


class _Worker:
    """One life of a process: it goes on where the diary of the one before it ends."""

    def __init__(self, root: Path, diary: Path, number: int, seed: str) -> None:
        self._rng = random.Random(seed)
        doubts.GRACE_S = self._rng.choice(_GRACES_S)  # type: ignore[misc]  # in its own process
        self._number = number
        self._diary = diary
        self._fd = os.open(diary, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        have, going, last = _read_diary(diary)
        self._mine = sorted(have)
        self._numbers = count(last + 1)
        for one in sorted(going):  # what a kill left open is settled by doing it again
            self._mine.append(one)
        durability = "full" if number % 2 else "process"
        self._store = contentdb.open(root, durability=durability)  # type: ignore[arg-type]  # one of the two

    def _say(self, word: str, number: int, what: str = "") -> None:
        os.write(self._fd, f"{word} {number} {what}\n".encode())

    def work(self) -> None:
        """Do one thing after the other until killed."""
        acts = (
            [self._add, self._ingest, self._read] * 6
            + [self._delete, self._common, self._common_read] * 5
            + [self._add_many, self._batch] * 2
            + [self._pause, self._walk, self._update]
        )
        while True:
            if self._number < _KEEPERS and self._rng.random() < _UPKEEP:
                self._upkeep()
            else:
                self._rng.choice(acts)()
            if len(self._mine) > _KEPT:
                self._delete()

    # -- what only this process does --------------------------------------------------------------

    def _fresh(self) -> tuple[int, bytes]:
        number = next(self._numbers)
        self._say("going", number)  # from here on either is right
        return number, _content(self._number, number)

    def _have(self, number: int, info: contentdb.Info, *, told: bool = True) -> None:
        """Note what was told; upkeep may have met the call, and took nothing from it."""
        if told and not info.new:
            self._say("WRONG", number, "its own new content is not told to be new")
        if dict(info.labels) != self._labels(number):
            self._say("WRONG", number, f"it is told with the labels {dict(info.labels)}")
        self._say("have", number, f"{info.created_ns} {info.updated_ns}")
        self._mine.append(number)

    def _labels(self, number: int) -> dict[str, str]:
        return _labels(self._number, number)

    def _add(self) -> None:
        number, data = self._fresh()
        self._have(number, self._store.add(data, labels=self._labels(number)))

    def _ingest(self) -> None:
        number, data = self._fresh()
        ref = f"soak {self._number} {number % 7}"  # a killed life left another content half-way
        expected = _digest(data) if self._rng.random() < 0.5 else None
        labels = self._labels(number)
        self._have(
            number, self._store.ingest(ref, io.BytesIO(data), expected=expected, labels=labels)
        )

    def _add_many(self) -> None:
        many = [self._fresh() for _ in range(self._rng.randint(1, 12))]
        answers = self._store.add_many(
            [data for _, data in many], labels=[self._labels(number) for number, _ in many]
        )
        for (number, _), info in zip(many, answers, strict=True):
            self._have(number, info)

    def _batch(self) -> None:
        many = [self._fresh() for _ in range(self._rng.randint(1, 6))]
        with self._store.batch():
            for number, data in many:
                self._store.add(data, labels=self._labels(number))
        for number, data in many:
            self._have(number, self._store.info(_digest(data)), told=False)

    def _pause(self) -> None:
        resume = self._rng.random() < 0.5
        with self._store.writer(f"paused {self._number}", resume=resume) as writer:
            writer.write(b"half")

    def _read(self) -> None:
        if self._mine:
            number = self._rng.choice(self._mine)
            data = _content(self._number, number)
            try:
                if self._store.read(_digest(data)) != data:
                    self._say("WRONG", number, "other bytes were served")
            except contentdb.NotFoundError:
                if number in _read_diary(self._diary)[0]:
                    self._say("WRONG", number, "it is not found")
            except contentdb.CorruptBlobError as error:
                self._say("WRONG", number, f"{error}")

    def _delete(self) -> None:
        if not self._mine:
            return
        number = self._mine.pop(self._rng.randrange(len(self._mine)))
        self._say("going", number)
        try:
            self._store.delete(_digest(_content(self._number, number)))
        except contentdb.NotFoundError:  # a killed life left an orphan at most, which may come back
            return
        self._say("gone", number)

    # -- what all do -------------------------------------------------------------------------------

    def _common(self) -> None:
        data = _content("common", self._rng.randrange(_COMMON))
        act = self._rng.randrange(3)
        if act == 0:
            self._store.add(data)
        elif act == 1:
            with suppress(contentdb.NotFoundError):
                self._store.delete(_digest(data))
        else:
            ref = f"common {self._rng.randrange(5)}"
            with (
                suppress(contentdb.RefLockedError, contentdb.AlreadyExistsError),
                self._store.writer(ref) as writer,
            ):
                writer.truncate()
                writer.write(data)
                writer.commit(labels={"by": f"{self._number}"})

    def _common_read(self) -> None:
        number = self._rng.randrange(_COMMON)
        data = _content("common", number)
        with suppress(contentdb.NotFoundError):
            try:
                if self._store.read(_digest(data)) != data:
                    self._say("WRONG", number, "other bytes of a common content were served")
            except contentdb.CorruptBlobError as error:
                # Between the two looks of the reader it may have been deleted and stored again.
                if self._store.exists(_digest(data)) and self._store.read(_digest(data)) != data:
                    self._say("WRONG", number, f"common: {error}")

    def _walk(self) -> None:
        digests = [info.digest for info in self._store.walk()]
        if digests != sorted(set(digests)):
            self._say("WRONG", 0, "a walk is out of order")

    def _update(self) -> None:
        with suppress(contentdb.NotFoundError):
            data = _content("common", self._rng.randrange(_COMMON))
            self._store.update(_digest(data), {"at": f"{self._rng.random()}"})

    def _upkeep(self) -> None:
        acts = ["prune", "verify", "verify", "repair", "reindex"]
        if parts_of(self._store).packs is not None:
            acts += ["pack", "unpack", "repack", "repack"]
        act = self._rng.choice(acts)
        if act in {"pack", "unpack", "repack"}:
            getattr(self._store, act)()
        elif act == "prune":
            self._store.prune(older_than=self._rng.choice((0, 0, 5)))
        elif act == "reindex":
            self._store.reindex()
        elif act == "repair":
            contentdb.repair(self._store, self._findings())
        else:
            for _ in self._findings():
                pass

    def _findings(self) -> Iterator[contentdb.Finding]:
        """Orphans there are: what a kill left behind."""
        for finding in self._store.verify(quick=self._rng.random() < 0.8):
            if finding.kind != "orphan":
                self._say("WRONG", 0, f"verify: {finding.kind} {finding.path}: {finding.detail}")
            yield finding


def _lines(diary: Path) -> list[list[str]]:
    return [line.split(" ", 2) for line in diary.read_text().splitlines()]


def _read_diary(diary: Path) -> tuple[set[int], set[int], int]:
    """What must be there, what may be, and the last number."""
    have: set[int] = set()
    going: set[int] = set()
    last = 0
    for word, text, *_ in _lines(diary):
        number = int(text)
        last = max(last, number)
        if word == "have":
            have.add(number)
            going.discard(number)
        elif word == "going":
            have.discard(number)
            going.add(number)
        elif word == "gone":
            have.discard(number)
            going.discard(number)
    return have, going, last


class _Watch:
    """The largest that was seen of what must stay bounded."""

    def __init__(self, root: Path) -> None:
        self._wal = root / "index.sqlite-wal"
        self.wal_bytes = 0
        self.descriptors = 0

    def look(self, pids: list[int]) -> None:
        with suppress(FileNotFoundError):
            self.wal_bytes = max(self.wal_bytes, self._wal.stat().st_size)
        for pid in pids:
            with suppress(OSError):
                self.descriptors = max(
                    self.descriptors, len(list(Path(f"/proc/{pid}/fd").iterdir()))
                )


def _run(folder: Path, plan: Plan, watch: _Watch) -> tuple[int, list[str]]:
    """Keep the processes working and kill one after the other; kills, and what went wrong."""
    rng = random.Random(plan.seed)
    lives = [0] * _PROCESSES
    pids = [0] * _PROCESSES
    found: list[str] = []

    def begin(number: int) -> None:
        lives[number] += 1
        seed = f"{plan.seed} {number} {lives[number]}"
        diary = folder / f"diary {number}"
        pids[number] = started(
            lambda: _Worker(folder / "store", diary, number, seed).work(), within_s=7_200
        )

    for number in range(_PROCESSES):
        (folder / f"diary {number}").touch()
        begin(number)
    kills = 0
    deadline = plan.deadline()
    due = time.monotonic()
    while time.monotonic() < deadline and kills < (plan.limit or 12_000):
        due += _EVERY_S
        time.sleep(max(0.0, due - time.monotonic()))
        if kills % 10 == 0:
            watch.look(pids)
        victim = rng.randrange(_PROCESSES)
        if victim == 0 and rng.random() < 0.8:
            victim = 1 + rng.randrange(_PROCESSES - 1)  # the one that verifies lives longer
        found += _ended_early(pids, begin)
        os.kill(pids[victim], signal.SIGKILL)
        os.waitpid(pids[victim], 0)
        begin(victim)
        kills += 1
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return kills, found


def _ended_early(pids: list[int], begin: Callable[[int], None]) -> Iterator[str]:
    """Nobody ends but by us: an end is an error that nobody expected."""
    for number, pid in enumerate(pids):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            yield f"process {number} ended by itself, with status {status}"
            begin(number)


def _judged(folder: Path) -> Iterator[str]:
    began = time.monotonic()
    with contentdb.open(folder / "store") as store:
        if time.monotonic() - began > _PATIENCE_S:
            yield "opening took over a minute"
        for number in range(_PROCESSES):
            yield from _judged_diary(store, folder / f"diary {number}", number)
        yield from _judged_whole(store)
    for name in ("ingest", "trash", "quarantine"):
        if left := [path.name for path in (folder / "store" / name).iterdir()]:
            yield f"left in {name}/: {left[:3]}"
    with closing(sqlite3.connect(folder / "store" / "index.sqlite")) as connection:
        verdict = connection.execute("PRAGMA integrity_check").fetchone()[0]
        if verdict != "ok":
            yield f"integrity_check: {verdict}"


def _judged_whole(store: contentdb.Store) -> Iterator[str]:
    """What kills leave is an orphan at worst, and goes."""
    for finding in list(store.verify()):
        if finding.kind != "orphan":
            yield f"verify: {finding.kind} {finding.path}: {finding.detail}"
    contentdb.repair(store, store.verify(quick=True))
    yield from (f"after the repair: {finding}" for finding in store.verify(quick=True))
    for status in store.statuses():
        if status.held:
            yield f"{status.ref!r} is held by nobody"
    store.prune(older_than=0)


def _judged_diary(store: contentdb.Store, diary: Path, number: int) -> Iterator[str]:
    have, going, last = _read_diary(diary)
    times = {int(line[1]): line[2] for line in _lines(diary) if line[0] == "have"}
    for line in _lines(diary):
        if line[0] == "WRONG":
            yield f"process {number}: {' '.join(line[1:])}"
    for one in range(1, last + 1):
        data = _content(number, one)
        if one in have:
            try:
                if store.read(_digest(data)) != data:
                    yield f"process {number}: content {one} is other bytes"
                info = store.info(_digest(data))
                if dict(info.labels) != _labels(number, one):
                    yield f"process {number}: content {one} has the labels {dict(info.labels)}"
                if f"{info.created_ns} {info.updated_ns}" != times[one]:
                    yield f"process {number}: content {one} has other times than were told"
            except contentdb.ContentDBError as error:
                yield f"process {number}: content {one} was acknowledged: {error}"
        elif one not in going and store.exists(_digest(data)):
            yield f"process {number}: content {one} was deleted and is there"


def soak(plan: Plan) -> Outcome:
    """Work, kill, and compare, in a loose and in a packed store; a case is its seed, and which."""
    kinds = ["loose", "packed"]
    if plan.case is not None:
        seed, kind = plan.case.split(" ")
        plan, kinds = plan._replace(seed=int(seed)), [kind]
    half = plan._replace(
        limit=(plan.limit or 12_000) // 2,
        seconds=None if plan.seconds is None else plan.seconds / 2,
    )
    outcomes = [_soak(half, kind) for kind in kinds]
    return Outcome(
        sum(outcome.tried for outcome in outcomes),
        [violation for outcome in outcomes for violation in outcome.violations],
        "; ".join(outcome.notes for outcome in outcomes),
    )


def _soak(plan: Plan, kind: str) -> Outcome:
    with place("soak") as folder:
        below = _PACK_BELOW if kind == "packed" else 0
        contentdb.open(folder / "store", pack_below=below).close()
        watch = _Watch(folder / "store")
        kills, found = _run(folder, plan, watch)
        found += _judged(folder)
        told = sum(len(_lines(folder / f"diary {number}")) for number in range(_PROCESSES))
    if watch.wal_bytes > _MOST_WAL_BYTES:
        found.append(f"the WAL grew to {watch.wal_bytes:,} bytes")
    if watch.descriptors > _MOST_DESCRIPTORS:
        found.append(f"a process had {watch.descriptors} descriptors")
    notes = (
        f"{kind}: {kills:,} kills, {told:,} lines of diaries; at most {watch.wal_bytes >> 20} MiB "
        f"of WAL and {watch.descriptors} descriptors a process"
    )
    return Outcome(kills, [Violation(f"{plan.seed} {kind}", what) for what in found], notes)
