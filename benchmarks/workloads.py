"""The workloads, each run in a process of its own. What is prepared is not timed."""

from __future__ import annotations

import multiprocessing
import random
import threading
from collections import deque
from time import perf_counter, perf_counter_ns
from typing import TYPE_CHECKING, Any

from benchmarks import commands, many_blobs
from benchmarks.contestants import entry
from benchmarks.floors import Floor, sync_all
from benchmarks.material import Stream, objects
from benchmarks.measure import Job, Sample, of_latencies, peak_bytes, reset_peak, timed

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.subject import Subject

__all__ = ["WORKLOADS"]


def _subject(job: Job) -> Subject:
    directory = job.fixture or job.directory
    directory.mkdir(parents=True, exist_ok=True)
    subject = entry(job.case.subject).make(directory)
    sync_all(directory)
    return subject


def fill(job: Job) -> Sample:
    """One object after the other."""
    subject, case = _subject(job), job.case
    subject.put(objects(1, case.size)[0])  # connections, first-time pages
    return of_latencies(timed(subject.put, objects(case.times, case.size)), case.size)  # type: ignore[arg-type]


def fill_large(job: Job) -> Sample:
    """Streams of one large object."""
    subject, case = _subject(job), job.case
    streams = [Stream(case.size) for _ in range(case.times)]
    return of_latencies(timed(subject.put_stream, streams), case.size)  # type: ignore[arg-type]


def fill_bulk(job: Job) -> Sample:
    """All in one call."""
    subject, case = _subject(job), job.case
    items = objects(case.times, case.size)
    start = perf_counter()
    deque(subject.put_many(items), maxlen=0)
    return Sample(case.times, case.times * case.size, perf_counter() - start)


def fill_threads(job: Job) -> Sample:
    """Single commits from threads of one process through one store."""
    subject, case = _subject(job), job.case
    each = case.times // case.jobs
    barrier = threading.Barrier(case.jobs)
    spans: list[tuple[int, int, list[int]]] = []

    def work() -> None:
        items = objects(each, case.size)
        barrier.wait()
        start = perf_counter_ns()
        taken = timed(subject.put, items)  # type: ignore[arg-type]
        spans.append((start, perf_counter_ns(), taken))

    threads = [threading.Thread(target=work) for _ in range(case.jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return _together(spans, case.size)


def fill_processes(job: Job) -> Sample:
    """Single commits from processes, each with the store open."""
    _subject(job).close()
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(job.case.jobs), context.SimpleQueue()
    processes = [
        context.Process(target=_fill_in_process, args=(job, barrier, answers))
        for _ in range(job.case.jobs)
    ]
    for process in processes:
        process.start()
    spans = [answers.get() for _ in processes]
    for process in processes:
        process.join()
    return _together(spans, job.case.size)


def _fill_in_process(job: Job, barrier: Any, answers: Any) -> None:  # noqa: ANN401 - of a context
    subject = entry(job.case.subject).make(job.directory)
    items = objects(job.case.times // job.case.jobs, job.case.size)
    barrier.wait()
    start = perf_counter_ns()
    taken = timed(subject.put, items)  # type: ignore[arg-type]
    answers.put((start, perf_counter_ns(), taken))


def _together(spans: list[tuple[int, int, list[int]]], size: int) -> Sample:
    seconds = (max(end for _, end, _ in spans) - min(start for start, _, _ in spans)) / 1e9
    return of_latencies([one for _, _, taken in spans for one in taken], size, seconds=seconds)


def _filled(job: Job) -> tuple[Subject, list[bytes], list[str]]:
    subject = _subject(job)
    items = objects(job.case.times, job.case.size)
    keys = list(subject.put_many(items))
    if isinstance(subject, Floor):
        keys = [subject.path(key) for key in keys]
    sync_all(job.directory)
    return subject, items, keys


def fill_duplicate(job: Job) -> Sample:
    """What is stored already, its digest known."""
    subject, items, keys = _filled(job)
    pairs = list(zip(items, keys, strict=True))
    taken = timed(lambda pair: subject.put_known(*pair), pairs)  # type: ignore[misc]
    return of_latencies(taken, job.case.size)


def fill_duplicate_many(job: Job) -> Sample:
    """The same, all in one call."""
    subject, items, keys = _filled(job)
    start = perf_counter()
    subject.put_known_many(items, keys)
    return Sample(len(items), len(items) * job.case.size, perf_counter() - start)


def read_random(job: Job) -> Sample:
    """Whole objects in no order, twice as many reads as there are objects."""
    subject, _, keys = _filled(job)
    order = random.Random(1).choices(keys, k=2 * len(keys))
    return of_latencies(timed(subject.get, order), job.case.size)  # type: ignore[arg-type]


def resume(job: Job) -> Sample:
    """The second half of an object whose first half came in before."""
    subject, case = _subject(job), job.case
    half = case.size // 2
    items = [(f"ref-{n}", data) for n, data in enumerate(objects(case.times, case.size))]
    for name, data in items:
        subject.begin(name, data[:half])
    rests = [(name, data[half:]) for name, data in items]
    sync_all(job.directory)
    return of_latencies(timed(lambda rest: subject.finish(*rest), rests), half)  # type: ignore[misc]


def walk(job: Job) -> Sample:
    """All records."""
    return _listed(_subject(job), job.case.times)


def walk_filled(job: Job) -> Sample:
    """All records of a store that was filled object by object."""
    subject, _, _ = _filled(job)
    return _listed(subject, job.case.times)


def _listed(subject: Subject, least: int) -> Sample:
    before = reset_peak()
    start = perf_counter()
    records = iter(subject.listing())
    next(records)
    first = perf_counter() - start
    count = 1 + sum(1 for _ in records)
    seconds = perf_counter() - start
    if count < least:
        raise RuntimeError(f"{count} records of {least}")
    return Sample(count, 0, seconds, peak_bytes=peak_bytes(before), first_ms=first * 1000)


def walk_label(job: Job) -> Sample:
    """A hundred by a label."""
    store: Any = _subject(job).store  # type: ignore[attr-defined] # only contentdb has labels

    def pick(_: object) -> None:
        if len(list(store.walk("labels.pick==yes"))) != 100:
            raise RuntimeError("not the hundred that were labelled")

    return of_latencies(timed(pick, range(job.case.times)), 0)


def walk_page(job: Job) -> Sample:
    """Pages of a thousand, from random places."""
    store: Any = _subject(job).store  # type: ignore[attr-defined] # only contentdb has pages
    starts = [f"sha256:{random.Random(n).randbytes(32).hex()}" for n in range(job.case.times)]
    return of_latencies(timed(lambda at: list(store.walk(after=at, limit=1000)), starts), 0)


def open_store(job: Job) -> Sample:
    """Open, look for one digest, close."""
    _subject(job).close()
    make = entry(job.case.subject).make
    absent = f"sha256:{0:064}"

    def look(_: object) -> None:
        subject: Any = make(job.fixture or job.directory)
        subject.store.exists(absent)
        subject.close()

    return of_latencies(timed(look, range(job.case.times)), 0)


def delete(job: Job) -> Sample:
    """One object after the other."""
    subject = _subject(job)
    keys = list(subject.put_many(objects(job.case.times, job.case.size)))
    sync_all(job.directory)
    return of_latencies(timed(subject.delete, keys), 0)  # type: ignore[arg-type]


WORKLOADS: dict[str, Callable[[Job], Sample]] = {
    function.__name__: function
    for function in (
        fill,
        fill_large,
        fill_bulk,
        fill_threads,
        fill_processes,
        fill_duplicate,
        fill_duplicate_many,
        read_random,
        resume,
        walk,
        walk_filled,
        walk_label,
        walk_page,
        open_store,
        delete,
        many_blobs.pack_many,
        many_blobs.reindex_packed,
        many_blobs.add_at_packed,
        many_blobs.add_files,
    )
} | commands.COMMANDS
