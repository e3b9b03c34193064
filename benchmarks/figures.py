"""The figures to reach, each as a ratio inside one run or as a limit, with what was measured."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.cases import BOTH, GROUP, NO_SYNC

if TYPE_CHECKING:
    from collections.abc import Callable

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


def _over(name: str, *against: str) -> Callable[[Results], list[float]]:
    """The rate over the best of the others'."""

    def values(results: Results) -> list[float]:
        known = [found for other in against if (found := results.ratios(name, other))]
        return [min(round_) for round_ in zip(*known, strict=False)]

    return values


def _over_slowest(name: str, *against: str) -> Callable[[Results], list[float]]:
    """The rate over the worst of the others'."""

    def values(results: Results) -> list[float]:
        known = [found for other in against if (found := results.ratios(name, other))]
        return [max(round_) for round_ in zip(*known, strict=False)]

    return values


def _cost(name: str, against: str) -> Callable[[Results], list[float]]:
    """How many times the other's time an operation takes: by the median operation.

    Not by throughput: a checkpoint of the index that falls into one of the two would decide.
    """

    def values(results: Results) -> list[float]:
        ours, theirs = results.rows.get(name), results.rows.get(against)
        if ours is None or theirs is None:
            return []
        pairs = zip(ours.samples, theirs.samples, strict=False)
        return [a.p50_us / b.p50_us for a, b in pairs if a and b and a.p50_us and b.p50_us]

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


WALK = "walk_1m/contentdb add"
FIGURES = (
    Figure(
        "`fill_small` by `add`, durable",
        "0.60 of the floor with file + directory fsync",
        0.60,
        _over("fill_small/contentdb add", f"fill_small/{BOTH}"),
    ),
    Figure(
        "`fill_small` by `writer(ref)`, durable",
        "0.55 of that floor",
        0.55,
        _over("fill_small/contentdb writer", f"fill_small/{BOTH}"),
    ),
    Figure(
        '`fill_small` by `add`, `durability="process"`',
        "0.40 of the floor without sync",
        0.40,
        _over("fill_small/contentdb add, process", f"fill_small/{NO_SYNC}"),
    ),
    Figure(
        "`fill_bulk` 1 KiB by `add_many`, durable",
        "0.85 of the floor with one syncfs per 1,000",
        0.85,
        _over("fill_bulk/contentdb add_many", f"fill_bulk/{GROUP}"),
    ),
    Figure(
        "`fill_bulk` 1 KiB by `add_many`, durable",
        "1.0 of disk-objectstore's pack, in calls of 1,000 or in one, whichever is faster",
        1.0,
        _over(
            "fill_bulk/contentdb add_many",
            "fill_bulk/disk-objectstore packed",
            "fill_bulk/disk-objectstore packed, one call",
        ),
    ),
    Figure(
        "`fill_parallel` 8 threads, durable, single commits",
        "2.5 times one thread",
        2.5,
        _over("fill_parallel_8_threads/contentdb add", "fill_parallel_1_threads/contentdb add"),
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
        _over_slowest("fill_large_1g/contentdb add, process", HASHING, WRITING),
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
    Figure(
        "CLI `path`",
        "at most 6 times `python -c pass`",
        6,
        _cost("cli_path/contentdb CLI", "cli_path/python -c pass"),
        at_most=True,
    ),
    Figure(
        "CLI `ingest`",
        "at most 6 times `python -c pass`",
        6,
        _cost("cli_ingest/contentdb CLI", "cli_ingest/python -c pass"),
        at_most=True,
    ),
)
