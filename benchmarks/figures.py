"""The figures to reach, each as a ratio inside one run or as a limit, with what was measured."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.cases import APPEND, BOTH, GROUP, NO_SYNC

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from benchmarks.results import Results

__all__ = ["FIGURES", "Figure", "Verdict"]

MIB = 1 << 20
WRITING = "fill_large_1g/writing alone"
HASHING = "fill_large_1g/hashing alone"


class Verdict(NamedTuple):
    """One figure in one run."""

    values: tuple[float, ...]
    """Round by round; empty when it was not measured."""
    passed: bool

    @property
    def value(self) -> float:
        """The median of `values`."""
        return median(self.values)


class Figure(NamedTuple):
    """What is promised of a workload."""

    workload: str
    wanted: str
    limit: float
    values: Callable[[Results], list[float]]
    at_most: bool = False
    unit: str = ""

    def judge(self, results: Results) -> Verdict:
        """Compare the median with the limit."""
        values = tuple(self.values(results))
        if not values:
            return Verdict((), passed=False)
        middle = median(values)
        return Verdict(values, middle <= self.limit if self.at_most else middle >= self.limit)


def _over(
    name: str, *against: str, choose: Callable[[Iterable[float]], float] = min
) -> Callable[[Results], list[float]]:
    """The rate over the best of the others', or by ``max`` over the worst."""

    def values(results: Results) -> list[float]:
        known = [found for other in against if (found := results.ratios(name, other))]
        return [choose(round_) for round_ in zip(*known, strict=False)]

    return values


def _cost(name: str, against: str, field: str = "p50_us") -> Callable[[Results], list[float]]:
    """How many times the other's time an operation takes: by the median operation, or another.

    Not by throughput: a checkpoint of the index that falls into one of the two would decide.
    """

    def values(results: Results) -> list[float]:
        ours, theirs = results.rows.get(name), results.rows.get(against)
        if ours is None or theirs is None:
            return []
        pairs = zip(ours.samples, theirs.samples, strict=False)
        times = [(getattr(a, field), getattr(b, field)) for a, b in pairs if a and b]
        return [mine / theirs for mine, theirs in times if mine and theirs]

    return values


def _field(name: str, field: str, divisor: float = 1) -> Callable[[Results], list[float]]:
    def values(results: Results) -> list[float]:
        row = results.rows.get(name)
        return [getattr(one, field) / divisor for one in row.good] if row else []

    return values


def _rate(name: str) -> Callable[[Results], list[float]]:
    def values(results: Results) -> list[float]:
        row = results.rows.get(name)
        return row.rates if row else []

    return values


def _disk_kib(name: str) -> Callable[[Results], list[float]]:
    """KiB of disk for each object."""

    def values(results: Results) -> list[float]:
        row = results.rows.get(name)
        return [(one.disk_bytes or 0) / one.operations / 1024 for one in row.good] if row else []

    return values


WALK = "walk_1m/contentdb add"
FILL = "fill_small/contentdb"
THREADS = "fill_parallel_8_threads/contentdb"
PROCESSES = "fill_parallel_8_processes/contentdb"
FIGURES = (
    Figure(
        "loose: `fill_small` by `add`, durable",
        "0.65 of the floor with file + directory fsync",
        0.65,
        _over(f"{FILL} add", f"fill_small/{BOTH}"),
    ),
    Figure(
        "loose: `fill_small` by `writer(ref)`, durable",
        "0.50 of that floor",
        0.50,
        _over(f"{FILL} writer", f"fill_small/{BOTH}"),
    ),
    Figure(
        "loose: 8 processes, durable",
        "0.60 of the floor's 8 processes",
        0.60,
        _over(f"{PROCESSES} add", f"fill_parallel_8_processes/{BOTH}"),
    ),
    Figure(
        "loose: 8 processes, p99",
        "at most 2 times the floor's",
        2.0,
        _cost(f"{PROCESSES} add", f"fill_parallel_8_processes/{BOTH}", "p99_us"),
        at_most=True,
    ),
    Figure(
        "loose: 8 threads, durable, single commits",
        "2.2 times one thread",
        2.2,
        _over(f"{THREADS} add", "fill_parallel_1_threads/contentdb add"),
    ),
    Figure(
        "packed: `add` of 1 KiB, durable",
        "1.7 of the floor with file + directory fsync",
        1.7,
        _over(f"{FILL} packed add", f"fill_small/{BOTH}"),
    ),
    Figure(
        "packed: `writer(ref)` of 1 KiB, durable",
        "1.0 of that floor",
        1.0,
        _over(f"{FILL} packed writer", f"fill_small/{BOTH}"),
    ),
    Figure(
        "packed: `add_many` of 1 KiB",
        "2.0 of the floor with one syncfs per 1,000",
        2.0,
        _over("fill_bulk/contentdb packed add_many", f"fill_bulk/{GROUP}"),
    ),
    Figure(
        "packed: `add_many` of 1 KiB",
        "1.3 of disk-objectstore's pack, in calls of 1,000 or in one, whichever is faster",
        1.3,
        _over(
            "fill_bulk/contentdb packed add_many",
            "fill_bulk/disk-objectstore packed",
            "fill_bulk/disk-objectstore packed, one call",
        ),
    ),
    Figure(
        "packed: 8 processes, durable",
        "1.0 of the file floor's",
        1.0,
        _over(f"{PROCESSES} packed add", f"fill_parallel_8_processes/{BOTH}"),
    ),
    Figure(
        "packed: 8 processes, p99",
        "at most 1.5 times the file floor's",
        1.5,
        _cost(f"{PROCESSES} packed add", f"fill_parallel_8_processes/{BOTH}", "p99_us"),
        at_most=True,
    ),
    Figure(
        "packed: 8 threads, durable",
        "0.9 of the file floor's",
        0.9,
        _over(f"{THREADS} packed add", f"fill_parallel_8_threads/{BOTH}"),
    ),
    Figure(
        "packed: read of 1 KiB at random",
        "1.2 of `open().read()` on a path",
        1.2,
        _over("read_random/contentdb packed add_many", f"read_random/{NO_SYNC}"),
    ),
    Figure(
        "packed: delete",
        "1.0 of unlink + directory fsync",
        1.0,
        _over("delete/contentdb packed add_many", f"delete/{BOTH}"),
    ),
    *(
        Figure(
            f"packed: {name} of 1 KiB, durable",
            "as measured, of appending to one file with fdatasync",
            0,
            _over(f"{FILL} packed {subject}", f"fill_small/{APPEND}"),
        )
        for name, subject in (("`add`", "add"), ("`writer(ref)`", "writer"))
    ),
    Figure(
        "packed: 1M blobs of 1 KiB",
        "at most 1.35 KiB of disk each, all included",
        1.35,
        _disk_kib("pack_many_1m/contentdb packed add_many"),
        at_most=True,
        unit=" KiB",
    ),
    Figure(
        "packed: reindex of 1M blobs from their records",
        "100,000/s",
        100_000,
        _rate("reindex_packed_1m/contentdb packed add_many"),
        unit="/s",
    ),
    Figure(
        "packed: cost of one `add` at 1M blobs",
        "at most 1.3 times that at 1,000",
        1.3,
        _cost(
            "add_at_packed_1m/contentdb packed add_many",
            "add_at_packed_1k/contentdb packed add_many",
        ),
        at_most=True,
    ),
    Figure(
        "20,000 small files by `contentdb add -r`",
        "at least a third of the speed of `add_many` in one process",
        1 / 3,
        _over("add_files/contentdb CLI", "add_files/contentdb add_many"),
    ),
    Figure(
        '`fill_small` by `add`, `durability="process"`',
        "0.40 of the floor without sync",
        0.40,
        _over("fill_small/contentdb add, process", f"fill_small/{NO_SYNC}"),
    ),
    Figure(
        "`fill_small` by `add`, durable, into a cache that is full",
        "0.80 of a store without a bound",
        0.80,
        _over("fill_small/contentdb add, cache", "fill_small/contentdb add"),
    ),
    Figure(
        "`fill_512k` by `add`, durable, into a cache that is full",
        "0.80 of a store without a bound",
        0.80,
        _over("fill_512k/contentdb add, large cache", "fill_512k/contentdb add"),
    ),
    Figure(
        "loose: `fill_bulk` 1 KiB by `add_many`, durable",
        "0.85 of the floor with one syncfs per 1,000",
        0.85,
        _over("fill_bulk/contentdb add_many", f"fill_bulk/{GROUP}"),
    ),
    Figure(
        "`fill_large` 1 GiB, durable",
        "0.95 of writing the same bytes with fsync and no hashing",
        0.95,
        _over("fill_large_1g/contentdb add", "fill_large_1g/writing alone, fsync"),
    ),
    Figure(
        "`fill_large` 1 GiB, not durable",
        "0.90 of the slower of hashing alone and writing alone",
        0.90,
        _over("fill_large_1g/contentdb add, process", HASHING, WRITING, choose=max),
    ),
    Figure(
        "`fill_duplicate`, digest known",
        "0.5 of `os.stat` on the blob's path",
        0.5,
        _over("fill_duplicate/contentdb add", f"fill_duplicate/{NO_SYNC}"),
    ),
    Figure(
        "`read_random` 1 KiB",
        "0.70 of `open().read()` on the path",
        0.70,
        _over("read_random/contentdb add_many", f"read_random/{NO_SYNC}"),
    ),
    Figure("`walk`, 1M blobs", "300,000 Info records/s", 300_000, _rate(WALK), unit="/s"),
    Figure(
        "`walk`, 1M blobs",
        "peak memory under 64 MiB above the start",
        64,
        _field(WALK, "peak_bytes", MIB),
        at_most=True,
        unit=" MiB",
    ),
    Figure(
        "`walk`, 1M blobs",
        "first record in 10 ms",
        10,
        _field(WALK, "first_ms"),
        at_most=True,
        unit=" ms",
    ),
    Figure(
        "`walk_label` picking 100 of 1M",
        "under 10 ms",
        10,
        _field("walk_label_1m/contentdb add", "p50_us", 1000),
        at_most=True,
        unit=" ms",
    ),
    Figure(
        "cost of one `add` at 1M blobs",
        "at most 1.3 times that at 1,000",
        1.3,
        _cost("add_at_1m/contentdb add", "add_at_1k/contentdb add"),
        at_most=True,
    ),
    Figure(
        "`open_store` at 1M blobs",
        "under 5 ms in-process",
        5,
        _field("open_store_1m/contentdb add", "p50_us", 1000),
        at_most=True,
        unit=" ms",
    ),
    *(
        Figure(
            f"CLI `{command}`, CPU time",
            f"at most {most:g} times `python -c pass`",
            most,
            _cost(f"cli_{command}/contentdb CLI", f"cli_{command}/python -c pass"),
            at_most=True,
        )
        for most, commands in (
            (2.0, ("path", "cat", "info")),
            (3.5, ("ingest", "add", "active", "ls")),
        )
        for command in commands
    ),
)
