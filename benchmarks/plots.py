"""Two plots, as SVG that is the same for the same run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.cases import KIB

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from benchmarks.results import Results

__all__ = ["draw"]

_FILLS = ("fill_small", "fill_4k", "fill_512k", "fill_1m", "fill_large_64m", "fill_large_1g")
_STYLES = {"floor": ":", "contentdb": "-", "rival": "--"}


def draw(results: Results, directory: Path) -> list[Path]:
    """Draw both and give their files."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "contentdb"
    mpl.rcParams["svg.fonttype"] = "none"
    from matplotlib.figure import Figure

    made = []
    for name, plot in (("objects-by-size", _by_size), ("cost-by-count", _by_count)):
        figure = Figure(figsize=(8, 5), layout="constrained")
        plot(results, figure.subplots())
        path = directory / f"{name}.svg"
        figure.savefig(path, metadata={"Date": None})
        made.append(path)
    return made


def _by_size(results: Results, axes: Axes) -> None:
    lines: dict[tuple[str, str, str], list[tuple[int, float]]] = {}
    for row in results.rows.values():
        if row.case.workload in _FILLS and row.good:
            key = (row.kind, row.case.subject, row.durable)
            lines.setdefault(key, []).append((row.case.size, row.rate))
    for (kind, subject, durable), points in lines.items():
        sizes, rates = zip(*sorted(points), strict=True)
        label = f"{subject} (durable: {durable})"
        axes.plot(
            sizes,
            rates,
            _STYLES[kind],
            marker=".",
            label=label,
            linewidth=1 + (kind == "contentdb"),
        )
    axes.set(xscale="log", yscale="log", xlabel="bytes an object", ylabel="objects/s")
    axes.set_title("Storing one object after the other")
    _finish(axes)


def _by_count(results: Results, axes: Axes) -> None:
    rows = [row for row in results.rows.values() if row.case.workload.startswith("add_at_")]
    points = sorted((row.case.rows, row) for row in rows if row.good and row.case.size == KIB)
    counts = [count for count, _ in points]
    for field, label in (("p50_us", "median"), ("p90_us", "90 %"), ("p99_us", "99 %")):
        axes.plot(counts, [row.middle(field) or 0 for _, row in points], marker=".", label=label)
    axes.set(xscale="log", xlabel="blobs in the index", ylabel="µs an add of 1 KiB, durable")
    axes.set_ylim(bottom=0)
    axes.set_title("The cost of one add as the store grows")
    _finish(axes)


def _finish(axes: Axes) -> None:
    axes.grid(visible=True, which="major", alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="small")
