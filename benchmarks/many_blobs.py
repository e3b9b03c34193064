"""A packed store of many blobs: its room on disk, its index made again, the cost of one more."""

from __future__ import annotations

import os
import random
from itertools import islice
from time import perf_counter
from typing import TYPE_CHECKING, Any

import contentdb
from benchmarks.contestants import entry
from benchmarks.floors import sync_all
from benchmarks.material import batched, objects
from benchmarks.measure import Job, Sample, of_latencies, timed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["add_at_packed", "add_files", "pack_many", "reindex_packed"]

_GROUP = 10_000
_INDEX_FILES = ("index.sqlite", "index.sqlite-wal", "index.sqlite-shm")


def pack_many(job: Job) -> Sample:
    """Fill the store by `add_many`, and count what it takes on disk when it is closed."""
    subject, taken_s = _fill(job)
    subject.close()
    return Sample(job.case.times, 0, taken_s, disk_bytes=_disk_bytes(job.directory))


def reindex_packed(job: Job) -> Sample:
    """Lose the index, and make it again from the records alone, each of them verified."""
    subject, _ = _fill(job)
    subject.close()
    for name in _INDEX_FILES:
        (job.directory / name).unlink(missing_ok=True)
    sync_all(job.directory)
    start = perf_counter()
    contentdb.reindex(job.directory)
    taken_s = perf_counter() - start
    with contentdb.open(job.directory) as store:
        count = store.usage().blobs
    if count != job.case.times:
        raise RuntimeError(f"{count} blobs of {job.case.times} came back")
    return Sample(job.case.times, 0, taken_s)


def add_at_packed(job: Job) -> Sample:
    """Single commits into a store that is full already."""
    subject, _ = _fill(job)
    sync_all(job.directory)
    return of_latencies(timed(subject.put, objects(1000, job.case.size)), job.case.size)


def add_files(job: Job) -> Sample:
    """Small files of one folder: by one command, or by `add_many` in a process of its own."""
    folder = job.directory / "given"
    folder.mkdir(parents=True)
    paths = [folder / f"file {number}" for number in range(job.case.times)]
    for path, data in zip(paths, objects(len(paths), job.case.size), strict=True):
        path.write_bytes(data)
    sync_all(folder)
    start = perf_counter()
    if job.case.subject == "contentdb CLI":
        from benchmarks.commands import run

        run(["--root", str(job.directory / "store"), "add", "-q", "-r", str(folder)])
    else:
        subject: Any = entry(job.case.subject).make(job.directory / "store")
        for info in subject.store.add_many(paths):
            str(info.digest)
    return Sample(len(paths), 0, perf_counter() - start)


def _fill(job: Job) -> tuple[Any, float]:
    subject = entry(job.case.subject).make(job.directory)
    sync_all(job.directory)
    taken_s = 0.0
    for group in batched(_items(job.case.times, job.case.size), _GROUP):
        start = perf_counter()
        for _ in subject.put_many(group):
            pass
        taken_s += perf_counter() - start
    return subject, taken_s


def _items(count: int, size: int) -> Iterator[bytes]:
    """Distinct contents, made as they are asked for: a million would fill the memory."""
    source = random.Random(os.urandom(16))
    return islice(iter(lambda: source.randbytes(size), b""), count)


def _disk_bytes(root: Path) -> int:
    """What all files and folders occupy, in bytes, by their blocks."""
    found = [root, *root.rglob("*")]
    return sum(path.lstat().st_blocks * 512 for path in found)
