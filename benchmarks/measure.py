"""One measurement: its clock, its percentiles, and the plain values that it becomes."""

from __future__ import annotations

from pathlib import Path
from statistics import quantiles
from time import perf_counter_ns
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from benchmarks.cases import Case

__all__ = ["Job", "Sample", "of_latencies", "peak_bytes", "reset_peak", "timed"]


class Job(NamedTuple):
    """What a worker is given."""

    case: Case
    directory: Path
    """Its own, fresh."""
    fixture: Path | None
    """A store with `Case.rows` rows, shared by the rounds."""


class Sample(NamedTuple):
    """What it gives back."""

    operations: int
    bytes: int
    seconds: float
    p50_us: float | None = None
    p90_us: float | None = None
    p99_us: float | None = None
    peak_bytes: int | None = None
    """Growth of resident memory at its highest, from the start of the workload."""
    first_ms: float | None = None
    """Until the first record."""
    disk_bytes: int | None = None
    """What the store takes on disk, all included."""


def timed(operation: Callable[[object], object], arguments: Iterable[object]) -> list[int]:
    """Call once for each argument and give the nanoseconds of each call."""
    taken = []
    for argument in arguments:
        start = perf_counter_ns()
        operation(argument)
        taken.append(perf_counter_ns() - start)
    return taken


def of_latencies(taken: list[int], size: int, *, seconds: float | None = None) -> Sample:
    """Sum up single operations; ``seconds`` is the wall time where they ran side by side."""
    cuts = quantiles(taken, n=100, method="inclusive") if len(taken) > 1 else taken * 99
    p50, p90, p99 = (cuts[at] / 1000 for at in (49, 89, 98))
    whole = sum(taken) / 1e9 if seconds is None else seconds
    return Sample(len(taken), len(taken) * size, whole, p50, p90, p99)


def reset_peak() -> int:
    """Forget the peak of resident memory so far (see proc(5)) and give what is resident now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _status("VmRSS")


def peak_bytes(start: int) -> int:
    """Give the growth since `reset_peak`."""
    return max(0, _status("VmHWM") - start)


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise LookupError(field)
