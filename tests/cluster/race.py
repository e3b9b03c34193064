"""Many processes at work on few digests, killed all the time, as are the servers.

Each process writes a line of a common diary when it begins an act and when that has ended, in one
write(2): the system keeps it when the process is killed. In the end the store is held to it.
"""

from __future__ import annotations

import io
import os
import random
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tests.cluster.proxy import Proxy, chaos
from tests.cluster.rig import (
    NAMESPACES,
    Place,
    Rig,
    content,
    digest_of,
    judged,
    prepare_process,
    rig,
    started,
)  # fmt: skip
from tests.crash.suite import Outcome, Plan, Violation

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.context import ForkServerProcess
    from pathlib import Path

__all__ = ["race", "requests"]

_DIGESTS: Final = 24
_EVERY_S: Final = 0.3
_SOME: Final = 6
"""Lines that a process has written before it may be killed: to begin takes it a second."""
_SETTLED_NS: Final = 5_000_000_000
"""After so long a statement of a killed process has ended in the server, too."""
_POSTGRES_EACH: Final = 40
_S3_EACH: Final = 61
"""Rounds, each with a kill of a process, for one kill of a server."""


class Line(NamedTuple):
    """A line of the diary."""

    at_ns: int
    pid: int
    word: str
    namespace: str
    number: int


class _Worker:
    """One life of a process."""

    def __init__(self, place: Place, diary: str, seed: str, mutant: str) -> None:
        prepare_process()
        if mutant:
            MUTANTS[mutant]()
        self._rng = random.Random(seed)
        self._diary = os.open(diary, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._namespace = self._rng.choice(NAMESPACES)
        self._store = place.open(self._namespace)

    def _say(self, word: str, number: int) -> None:
        line = f"{time.monotonic_ns()} {os.getpid()} {word} {self._namespace} {number}\n"
        os.write(self._diary, line.encode())

    def work(self) -> None:
        """Do one thing after the other until killed."""
        import contentdb

        often = [(self._add, 6), (self._ingest, 4), (self._delete, 5), (self._read, 3)]
        seldom = [(self._prune, 2), (self._pause, 1), (self._abort, 1), (self._walk, 1)]
        acts = [act for act, times in (*often, *seldom) for _ in range(times)]
        while True:
            number = self._rng.randrange(_DIGESTS)
            act = self._rng.choice(acts)
            try:
                act(number)
            except (contentdb.NotFoundError, contentdb.RefLockedError):
                self._say("not", number)
            except contentdb.CorruptBlobError as error:
                self._say(f"WRONG:{error}".replace(" ", "_"), number)
            except (contentdb.StorageError, contentdb.IndexFailedError):
                self._say("unknown", number)  # a server is down
            except contentdb.ContentDBError as error:
                self._say(f"WRONG:{type(error).__name__}:{error}".replace(" ", "_"), number)

    def _add(self, number: int) -> None:
        self._say("add", number)
        self._store.add(content(number))
        self._say("added", number)

    def _ingest(self, number: int) -> None:
        self._say("add", number)
        self._store.ingest(f"ref {number}", io.BytesIO(content(number)))
        self._say("added", number)

    def _pause(self, number: int) -> None:
        with self._store.writer(f"ref {number}", resume=True) as writer:
            data = content(number)
            writer.write(data[writer.offset : len(data) // 2])

    def _abort(self, number: int) -> None:
        self._store.abort(f"ref {number}")

    def _delete(self, number: int) -> None:
        self._say("delete", number)
        self._store.delete(digest_of(content(number)))
        self._say("deleted", number)

    def _read(self, number: int) -> None:
        data = content(number)
        if self._store.read(digest_of(data)) != data:
            self._say("WRONG:other_bytes", number)

    def _walk(self, _: int) -> None:
        list(self._store.walk())

    def _prune(self, _: int) -> None:
        self._store.prune(older_than=0)


def work(place: Place, diary: str, seed: str, mutant: str) -> None:
    """What a process does until it is killed; never longer than an hour."""
    signal.alarm(3600)
    _Worker(place, diary, seed, mutant).work()


# -- the end ---------------------------------------------------------------------------------------


def read_diary(diary: Path) -> list[Line]:
    """All lines; the last one of a killed process is whole, for each is one write."""
    lines = (line.split(" ") for line in diary.read_text().splitlines())
    return [Line(int(at), int(pid), word, ns, int(number)) for at, pid, word, ns, number in lines]


def must_be(lines: list[Line], ends: dict[int, int]) -> set[tuple[str, str]]:
    """What was acknowledged and cannot have been deleted since; ``ends`` are the killed' last."""
    begun: dict[int, Line] = {}
    last_add: dict[tuple[str, int], int] = {}
    deletes: dict[tuple[str, int], int] = {}
    for line in lines:
        place = (line.namespace, line.number)
        if line.word in {"add", "delete"}:
            begun[line.pid] = line
        elif line.word == "added":
            last_add[place] = max(last_add.get(place, 0), begun.pop(line.pid).at_ns)
        elif line.word in {"deleted", "not", "unknown"} and line.pid in begun:
            one = begun.pop(line.pid)
            late = _SETTLED_NS if line.word == "unknown" else 0
            if one.word == "delete":
                deletes[place] = max(deletes.get(place, 0), line.at_ns + late)
    for pid, one in begun.items():
        if one.word == "delete":
            place = (one.namespace, one.number)
            deletes[place] = max(deletes.get(place, 0), ends.get(pid, 1 << 62) + _SETTLED_NS)
    return {
        (namespace, digest_of(content(number)))
        for (namespace, number), since in last_add.items()
        if deletes.get((namespace, number), 0) < since
    }


# -- the suites ------------------------------------------------------------------------------------


class _Crew:
    """The processes, one of which is killed from time to time."""

    def __init__(self, place: Place, diary: Path, plan: Plan, count: int) -> None:
        self._place, self._diary, self._plan = place, diary, plan
        self._lives = self.kills = 0
        self.ends: dict[int, int] = {}
        self._processes = [self._begin() for _ in range(count)]
        self._rng = random.Random(plan.seed)

    def _begin(self) -> ForkServerProcess:
        self._lives += 1
        seed = f"{self._plan.seed} {self._lives}"
        return started(work, self._place, str(self._diary), seed, self._plan.mutant or "")

    def kill_one(self) -> list[str]:
        """Kill one that is at work, begin another; say which others ended by themselves."""
        lines = Counter(line.pid for line in read_diary(self._diary))
        ready = [at for at, one in enumerate(self._processes) if lines[one.pid or 0] >= _SOME]
        if ready:
            self._replace(self._rng.choice(ready))
            self.kills += 1
        died = [at for at, one in enumerate(self._processes) if one.exitcode is not None]
        said = [f"a process ended with {self._processes[at].exitcode}" for at in died]
        for at in died:
            self._replace(at)
        return said

    def _replace(self, number: int) -> None:
        self._end(number)
        self._processes[number] = self._begin()

    def _end(self, number: int) -> None:
        process = self._processes[number]
        process.kill()
        process.join()
        self.ends[process.pid or 0] = time.monotonic_ns()
        process.close()

    def end(self) -> None:
        """Kill all."""
        for number in range(len(self._processes)):
            self._end(number)


def race(plan: Plan) -> Outcome:
    """Kill processes, PostgreSQL and S3 while they race for 24 digests."""
    with rig(durable=plan.limit is None) as servers:
        return _race(servers, plan, kill_servers=True)


def requests(plan: Plan) -> Outcome:
    """The same with a proxy before S3 that holds, repeats, loses and refuses requests."""
    with rig() as servers, Proxy(servers.s3.endpoint, chaos(plan.seed), patience=25) as proxy:
        place = servers.place._replace(endpoint=proxy.endpoint)
        outcome = _race(servers._replace(place=place), plan, proxy=proxy)
        return outcome._replace(notes=f"{outcome.notes}; {len(proxy.seen):,} requests")


def _race(
    servers: Rig, plan: Plan, *, kill_servers: bool = False, proxy: Proxy | None = None
) -> Outcome:
    servers.place.open().close()
    diary = servers.s3.folder / "diary"
    crew = _Crew(servers.place, diary, plan, 6 if plan.limit else 12)
    found: list[str] = []
    try:
        deadline = plan.deadline()
        due = time.monotonic()
        rounds = 0
        while time.monotonic() < deadline and crew.kills < (plan.limit or 1 << 30):
            due = max(due + _EVERY_S, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))
            found += crew.kill_one()
            rounds += 1
            if kill_servers and rounds % _POSTGRES_EACH == _POSTGRES_EACH // 2:
                servers.postgres.restart()
            if kill_servers and rounds % _S3_EACH == _S3_EACH // 2:
                servers.s3.restart()
    finally:
        crew.end()
    if proxy is not None:
        proxy.rule = chaos(0, each=0.0)
        proxy.deliver(shuffled=random.Random(plan.seed))
    lines = read_diary(diary)
    found += [line.word for line in lines if line.word.startswith("WRONG")]
    found += judged(servers, must_be(lines, crew.ends))
    if proxy is not None and proxy.deliver():
        found += judged(servers)
    acks = sum(line.word in {"added", "deleted"} for line in lines)
    case = f"seed {plan.seed}"
    violations = [Violation(case, one) for one in dict.fromkeys(found)]
    return Outcome(crew.kills, violations, f"{acks:,} acknowledged acts")


# -- what it must find -----------------------------------------------------------------------------


def _no_fence() -> None:
    from contentdb.cluster.catalog import trash

    def all_of_them(database: Any, *, dry_run: bool) -> set[int]:  # noqa: ANN401 - as it is
        return {row[0] for row in database.rows("SELECT id FROM sessions")}

    trash.fence_dead = all_of_them


MUTANTS: Final[dict[str, Callable[[], None]]] = {"a prune judges without a fence": _no_fence}
"""Rules that a worker leaves out, by what is done to it."""
