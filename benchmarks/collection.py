"""Collection at scale, and what it costs others: ``python -m benchmarks.collection``.

Questions: how long does `why` take among a million blobs and ten million references, how many blobs
a second does a collection review, what does another process that writes notice of it, how long is
the write lock held at once, how much memory does a run need, and how much faster are 10,000 blobs
collected than deleted one after the other. Times are of one run; compare ratios.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import random
import shutil
import sqlite3
import statistics
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from statistics import quantiles
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import contentdb
from benchmarks import machine
from benchmarks.images import Images, make_images
from benchmarks.material import objects
from benchmarks.measure import peak_bytes, reset_peak
from contentdb import files
from contentdb.local.index.why import FOREVER_NS, Horizon

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection

_NOTHING: Final = timedelta(0)
_MS: Final = 1e6
_PAGE: Final = 512
_SPAWN: Final = multiprocessing.get_context("spawn")


__all__ = ["Sizes", "figures"]


class Sizes(NamedTuple):
    """How much is done."""

    blobs: int
    asked: int
    """Calls of `why`."""
    reviewed: int
    garbage: int
    """Images that are collected beside a writer, each of 1,010 references."""
    alone_s: float
    """Seconds that the writer has for itself, before and after."""
    deleted: int
    rounds: int


QUICK: Final = Sizes(20_000, 1_000, 2_000, 4, 2, 500, 1)
WHOLE: Final = Sizes(1_000_000, 5_000, 20_000, 12, 15, 10_000, 3)


class Figure(NamedTuple):
    """A row of the table."""

    name: str
    wanted: str
    measured: str
    passes: bool


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.collection", description=__doc__)
    parser.add_argument("--blobs", type=int, help="of the index, with ten references each")
    parser.add_argument("--quick", action="store_true", help="20,000 blobs, in under a minute")
    parser.add_argument("--store", type=Path, help="make the store here, and keep it for another")
    parser.add_argument(
        "--scratch",
        type=Path,
        default=Path("/tmp"),  # noqa: S108 - a fresh directory in it
        help="6 GB for a million blobs, twice that while they are made",
    )
    options = parser.parse_args()
    sizes = QUICK if options.quick else WHOLE
    sizes = sizes._replace(blobs=options.blobs or sizes.blobs)
    scratch = Path(mkdtemp(prefix="contentdb-bench-", dir=options.scratch))
    try:
        root = options.store or scratch / "images"
        images = Images.of(sizes.blobs) if root.exists() else make_images(root, sizes.blobs)
        described = machine.describe(scratch)
        print("Machine:", ", ".join(f"{name} {said}" for name, said in described.items()))
        print(f"\n{sum(images):,} blobs, {images.references:,} references.\n")
        print("| figure | wanted | measured | |\n|---|---|--:|---|")
        for figure in figures(scratch, root, images, sizes):
            verdict = "pass" if figure.passes else "**miss**"
            print(
                f"| {figure.name} | {figure.wanted} | {figure.measured} | {verdict} |", flush=True
            )
        print(f"\nLoad of the machine at the end: {os.getloadavg()[0]:.1f}")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def figures(scratch: Path, root: Path, images: Images, sizes: Sizes) -> Iterator[Figure]:
    """Measure a store of `benchmarks.images`; yield each row as soon as it is known."""
    with contentdb.open(root) as store:
        wall, cpu = _ask_why(store, images, sizes.asked)
        p99 = _percentile(wall, 99) / _MS
        said = f"{p99:.1f} ms (p50 {_percentile(wall, 50) / _MS:.2f}, CPU p99 "
        said += f"{_percentile(cpu, 99) / _MS:.2f})"
        yield Figure("`why` of a random blob, p99", "under 25 ms", said, p99 < 25)
        speed, of_cpu = _review(store, images, sizes.reviewed)
        said = f"{speed:,.0f}/s ({of_cpu:,.0f} a second of CPU)"
        yield Figure("review of what is queued, without the lock", "1,000/s", said, speed >= 1000)
    yield from _beside_a_writer(root, images, sizes)
    yield _collected_and_deleted(scratch, sizes)


# -- what a collection asks ------------------------------------------------------------------------


def _ask_why(store: contentdb.Store, images: Images, count: int) -> tuple[list[int], list[int]]:
    """Return the nanoseconds of each call, and those of the CPU."""
    wall, cpu = [], []
    for number in random.Random(2).sample(range(sum(images)), count):
        began, busy = time.perf_counter_ns(), time.thread_time_ns()
        with contextlib.suppress(contentdb.NotFoundError):  # an earlier run has collected it
            store.why(images.digest(number))
        wall.append(time.perf_counter_ns() - began)
        cpu.append(time.thread_time_ns() - busy)
    return wall, cpu


def _review(store: contentdb.Store, images: Images, count: int) -> tuple[float, float]:
    """Queue random blobs, judge them in pages; return how many a second, and a second of CPU."""
    some = random.Random(3).sample(range(sum(images)), count)
    _queue(store.root, [images.digest(one) for one in some])
    horizon = Horizon(FOREVER_NS)
    with store.parts() as parts:
        judged: list[Any] = []
        began, busy = time.perf_counter(), time.thread_time()
        after = None
        while page := parts.index.due(FOREVER_NS, after, _PAGE):
            found = parts.index.judge(page, horizon)
            after = found[-1].candidate
            judged += found
        taken, busy = time.perf_counter() - began, time.thread_time() - busy
        return len(judged) / taken, len(judged) / busy


def _queue(root: Path, digests: Sequence[str]) -> None:
    """Let these alone be due."""
    with closing(sqlite3.connect(root / "index.sqlite")) as database:
        database.execute("UPDATE blobs SET review_at = NULL WHERE review_at IS NOT NULL")
        database.executemany(
            "UPDATE blobs SET review_at = 7 WHERE namespace = 'default' AND digest = ?",
            ((digest,) for digest in digests),
        )
        database.commit()


# -- beside another writer -------------------------------------------------------------------------


class _Collected(NamedTuple):
    """What a collection tells of itself."""

    began: float
    ended: float
    blobs: int
    held_ns: list[int]
    """Each time that it held the write lock."""
    peak_bytes: int


def _beside_a_writer(root: Path, images: Images, sizes: Sizes) -> Iterator[Figure]:
    _queue(root, _untagged(root, images)[: sizes.garbage])
    writer, end = _started(_write, root)
    time.sleep(sizes.alone_s)
    collector, answer = _started(_collect, root)
    done: _Collected = answer.recv()
    collector.join()
    time.sleep(sizes.alone_s)
    end.send(None)
    commits: list[tuple[float, int]] = end.recv()
    writer.join()
    during = [taken for at, taken in commits if done.began <= at < done.ended]
    alone = [taken for at, taken in commits if not done.began <= at < done.ended]
    span = commits[-1][0] - commits[0][0] - (done.ended - done.began)
    ratio = len(during) / (done.ended - done.began) / (len(alone) / span)
    speed = f"{ratio:.2f} ({len(alone) / span:,.0f} commits/s alone)"
    yield Figure("another writer beside a collection", "0.7 of it alone", speed, ratio >= 0.7)
    p99, before = _percentile(during, 99) / _MS, _percentile(alone, 99) / _MS
    name = "its commit, p99"
    yield Figure(name, "at most 100 ms", f"{p99:.1f} ms ({before:.1f} alone)", p99 <= 100)
    held, longest = _percentile(done.held_ns, 99) / _MS, max(done.held_ns) / _MS
    name = f"write lock held at once, {done.blobs:,} blobs collected, p99"
    yield Figure(name, "at most 50 ms", f"{held:.1f} ms (longest {longest:.0f})", held <= 50)
    peak = done.peak_bytes / (1 << 20)
    yield Figure("memory of that run", "at most 64 MiB", f"{peak:.1f} MiB", peak <= 64)


def _untagged(root: Path, images: Images) -> list[str]:
    """Return the indexes that nothing keeps, but for those that an earlier run has collected."""
    there = "SELECT 1 FROM blobs WHERE namespace = 'default' AND digest = ?"
    with closing(sqlite3.connect(root / "index.sqlite")) as database:
        untagged = map(images.digest, range(images.tagged, images.indexes))
        return [one for one in untagged if database.execute(there, (one,)).fetchone()]


def _started(work: Callable[[Path, Connection], None], root: Path) -> tuple[Any, Connection]:
    """Run in a fresh process; return it and the end of a pipe, once it is ready."""
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=work, args=(root, theirs))
    process.start()
    ours.recv()
    return process, ours


def _write(root: Path, pipe: Connection) -> None:
    """Add 1 KiB again and again until told to stop; send when each began and what it took."""
    commits = []
    with contentdb.open(root) as store:
        store.add(os.urandom(1024))
        pipe.send("ready")
        while not pipe.poll():
            began, at = time.perf_counter_ns(), time.monotonic()
            store.add(os.urandom(1024))
            commits.append((at, time.perf_counter_ns() - began))
    pipe.send(commits)


def _collect(root: Path, pipe: Connection) -> None:
    with contentdb.open(root) as store, _timed_lock(store.root) as held:
        start = reset_peak()
        pipe.send("ready")
        began = time.monotonic()
        done = store.collect(grace=_NOTHING)
        pipe.send(_Collected(began, time.monotonic(), done.blobs, held, peak_bytes(start)))


@contextlib.contextmanager
def _timed_lock(root: Path) -> Iterator[list[int]]:
    """Note how long this process holds the write lock each time."""
    held: list[int] = []
    since: dict[int, int] = {}
    lock, unlock = files.lock, files.unlock

    def lock_timed(fd: int, path: str, *, wait: float | bool = False) -> bool:
        locked = lock(fd, path, wait=wait)
        if locked and path == str(root):
            since[fd] = time.perf_counter_ns()
        return locked

    def unlock_timed(fd: int) -> bool:
        if fd in since:
            held.append(time.perf_counter_ns() - since.pop(fd))
        return unlock(fd)

    files.lock, files.unlock = lock_timed, unlock_timed
    try:
        yield held
    finally:
        files.lock, files.unlock = lock, unlock


# -- many at once ----------------------------------------------------------------------------------


def _collected_and_deleted(scratch: Path, sizes: Sizes) -> Figure:
    ratios, speeds = [], []
    for number in range(sizes.rounds):
        seconds = {}
        for name, work in (("collect", _collect_all), ("delete", _delete_all)):
            with contentdb.open(scratch / f"{name} {number}") as store:
                digests = [one.digest for one in store.add_many(objects(sizes.deleted, 1024))]
                os.sync()
                began = time.perf_counter()
                work(store, digests)
                seconds[name] = time.perf_counter() - began
                left = store.usage().blobs
            if left:
                raise RuntimeError(f"{left} blobs are left after {name}")
        ratios.append(seconds["delete"] / seconds["collect"])
        speeds.append(sizes.deleted / seconds["collect"])
    ratio, speed = statistics.median(ratios), statistics.median(speeds)
    said = f"{ratio:.1f} ({speed:,.0f}/s collected)"
    name = f"`collect` of {sizes.deleted:,} blobs"
    return Figure(name, "5 times as fast as deleting each", said, ratio >= 5)


def _collect_all(store: contentdb.Store, _digests: Sequence[str]) -> None:
    store.collect(grace=_NOTHING, no_roots=True)


def _delete_all(store: contentdb.Store, digests: Sequence[str]) -> None:
    for digest in digests:
        store.delete(digest)


def _percentile(taken: list[int], which: int) -> float:
    return quantiles(taken, n=100, method="inclusive")[which - 1]


if __name__ == "__main__":
    main()
