"""Writers and checkpointers of many processes on one index, on whatever SQLite is linked.

On SQLite 3.7.0 to 3.51.2 a checkpoint beside two writers corrupts a database within a minute
(https://sqlite.org/wal.html#walresetbug). The index keeps them apart, so neither an old SQLite
nor a fixed one may end with an unsound database, or with a commit missing.

The fixed one is that of the package pysqlite3, in an interpreter of its own where it is installed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.crash.suite import Outcome, Plan, Violation
from tests.stress.crew import crew, place

if TYPE_CHECKING:
    from collections.abc import Mapping
    from sqlite3 import Connection

    from contentdb.local.index.index import Index

__all__ = ["main", "storm"]

_CHECKOUT: Final = Path(__file__).resolve().parents[2]
_WRITERS: Final = 2
_THREADS: Final = 8
"""Of one writer: those that commit at once share a transaction."""
_CHECKPOINTERS: Final = 2
_KEPT: Final = 2_000
"""Rows of a thread; older ones are dropped, so that the pages are used again and again."""


@dataclass
class _Entry:
    """Plays `contentdb.local.index.Entry`."""

    digest: Any
    size: int = 7
    checksum: int = 1
    labels: Mapping[str, str] = field(default_factory=dict)
    now_ns: int = 1000
    ref: str | None = None
    token: str | None = None
    only_if: frozenset[int | None] | None = None
    lease: Any = None
    reserved: str | None = None
    location: Any = None

    @property
    def labelling(self) -> Any:  # noqa: ANN401 - a Labelling, which is imported late
        """The labels, whether it is new or not."""
        from contentdb.labels import Labelling

        return Labelling(self.labels, self.labels)

    def end_record(self, location: object, *, is_elsewhere: bool) -> None:
        """There is no record."""

    def present(self) -> bool:
        """There are no files here."""
        return True

    def has_content(self, blob: object) -> bool:  # noqa: ARG002 - of the role
        """As above."""
        return True

    def stamp(self, moment_ns: int, *, instead_of_ns: int | None = None) -> None:
        """As above."""


def _digest(who: str, number: int) -> Any:  # noqa: ANN401 - a Digest, which is imported late
    from contentdb.digest import Digest

    return Digest("sha256:" + sha256(f"{who} {number}".encode()).hexdigest())


def _opened(root: Path) -> Index:
    from contentdb.local.index.index import Index

    return Index(str(root / "index.sqlite"), str(root), namespace="default", durable=False)


class _Tally:
    """What a thread was told: numbers from `dropped` up to `recorded` must be there."""

    def __init__(self, who: str) -> None:
        self.who = who
        self.recorded = 0
        self.dropped = 0
        self.commits = 0


def _write(index: Index, tally: _Tally, count: int, until: float) -> None:
    while tally.commits < count and time.monotonic() < until:
        index.record([_Entry(_digest(tally.who, tally.recorded))])
        tally.recorded += 1
        tally.commits += 1
        if tally.recorded - tally.dropped >= 2 * _KEPT:
            numbers = range(tally.dropped, tally.dropped + _KEPT)
            index.drop([_digest(tally.who, number) for number in numbers], lambda _digest: True)
            tally.dropped += _KEPT
            tally.commits += 1


def _writer(root: Path, number: int, count: int, until: float) -> list[dict[str, Any]]:
    """A process of several threads; what each was told."""
    index = _opened(root)
    tallies = [_Tally(f"{number}/{thread}") for thread in range(_THREADS)]
    threads = [
        threading.Thread(target=_write, args=(index, tally, count // _THREADS, until))
        for tally in tallies
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    index.close()
    return [vars(tally) for tally in tallies]


def _checkpoint(root: Path, stop: Path) -> list[dict[str, Any]]:
    """Fold the WAL again and again, as the index does it when it is due."""
    from contentdb.local.index import checkpoints

    index = _opened(root)
    while not stop.exists():
        index._database.write(
            lambda _connection: None,
            lambda _connection: True,
            durable=False,
            rows=checkpoints.CHECKPOINT_ROWS,
        )
    index.close()
    return []


def _read(root: Path, stop: Path) -> list[dict[str, Any]]:
    """Hold snapshots, which are in the way of checkpoints."""
    index = _opened(root)
    while not stop.exists():
        digests = [info.digest for info in index.walk(None, "digest", None, 3_000)]
        if digests != sorted(set(digests)):
            raise AssertionError("a walk is out of order")
        time.sleep(0.01)
    index.close()
    return []


def _writers(root: Path, stop: Path, count: int, until: float) -> list[dict[str, Any]]:
    works = [partial(_writer, root, number, count // _WRITERS, until) for number in range(_WRITERS)]
    try:
        return [tally for tallies in crew(works) for tally in tallies]
    finally:
        stop.touch()


def _storm(root: Path, count: int, seconds: float) -> dict[str, Any]:
    """One storm on the SQLite of this process."""
    import sqlite3

    import contentdb

    contentdb.open(root).close()
    stop = root.parent / "stop"
    until = time.monotonic() + seconds
    tallies = crew(
        [
            partial(_writers, root, stop, count, until),
            *[partial(_checkpoint, root, stop)] * _CHECKPOINTERS,
            partial(_read, root, stop),
        ]
    )[0]
    connection = sqlite3.connect(root / "index.sqlite")
    try:
        found = list(_judged(connection, tallies))
    finally:
        connection.close()
    commits = sum(tally["commits"] for tally in tallies)
    return {"sqlite": sqlite3.sqlite_version, "commits": commits, "found": found}


def _judged(connection: Connection, tallies: list[dict[str, Any]]) -> Any:  # noqa: ANN401 - texts
    verdicts = [row[0] for row in connection.execute("PRAGMA integrity_check(3)")]
    if verdicts != ["ok"]:
        yield f"integrity_check: {verdicts}"
    have = {digest for (digest,) in connection.execute("SELECT digest FROM blobs")}
    promised = {
        _digest(tally["who"], number)
        for tally in tallies
        for number in range(tally["dropped"], tally["recorded"])
    }
    if lost := promised - have:
        yield f"{len(lost)} acknowledged commits are missing"
    if back := have - promised:
        yield f"{len(back)} rows are there that were dropped"


def storm(plan: Plan) -> Outcome:
    """Half of the commits on the SQLite that Python links, half on a fixed one."""
    kinds = ["stock"] + (["fixed"] if find_spec("pysqlite3") is not None else [])
    if plan.case is not None:
        kinds = [plan.case]
    count = (plan.limit or 1_600_000) // len(kinds)
    seconds = (plan.seconds or 900) / len(kinds)
    tried = 0
    found: list[Violation] = []
    said = []
    for kind in kinds:
        began = time.monotonic()
        with place("storm") as folder:
            arguments = [kind, str(folder / "store"), str(count), str(seconds)]
            done = subprocess.run(
                [sys.executable, "-m", "tests.stress.storm", *arguments],
                cwd=_CHECKOUT,
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
        answer = json.loads(done.stdout.splitlines()[-1])
        tried += answer["commits"]
        found += [Violation(kind, what) for what in answer["found"]]
        rate = answer["commits"] / (time.monotonic() - began)
        said.append(f"SQLite {answer['sqlite']} {rate:,.0f} commits/s")
    if len(kinds) == 1 and plan.case is None:
        said.append("no fixed SQLite here: pip install pysqlite3")
    return Outcome(tried, found, ", ".join(said))


def main() -> None:
    """Run one storm in this process and print what came of it."""
    kind, root, count, seconds = sys.argv[1:]
    if kind == "fixed":
        import pysqlite3  # type: ignore[import-untyped,import-not-found,unused-ignore]  # may be absent

        sys.modules["sqlite3"] = pysqlite3
        sys.modules["sqlite3.dbapi2"] = sys.modules["pysqlite3.dbapi2"]
    print(json.dumps(_storm(Path(root), int(count), float(seconds))))  # noqa: T201 - its answer


if __name__ == "__main__":
    main()
