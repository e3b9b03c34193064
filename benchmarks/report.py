"""Markdown from a recorded run: never typed, so never out of step with what was measured."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.figures import FIGURES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.figures import Verdict
    from benchmarks.results import Results, Row

__all__ = ["BEGIN", "END", "HERE", "RECORDED", "figures", "front", "page", "replaced"]

HERE = Path(__file__).parent
RECORDED = HERE / "recorded.json"
BEGIN = "<!-- benchmarks: made by `python -m benchmarks readme`, do not edit -->"
END = "<!-- benchmarks: end -->"

_FRONT = (
    ("Store 1 KiB, durable", "fill_small"),
    ("Store many of 1 KiB, durable in groups", "fill_bulk"),
    ("Store 1 KiB from 8 processes, durable", "fill_parallel_8_processes"),
    ("Read 1 KiB", "read_random"),
    ("Delete 1 KiB, durable", "delete"),
    ("List a million", "walk_1m"),
)
_MIB = 1 << 20
_BYTES_TELL_FROM = 64 * 1024


def page(results: Results) -> str:
    """Everything, for `benchmarks/README.md`."""
    parts = [
        _head(results),
        "## Figures to reach\n",
        figures(results),
        "## All workloads\n",
        _LEGEND,
    ]
    rows = sorted(results.rows.values(), key=lambda row: _order(results, row))
    for workload, group in groupby(rows, key=lambda row: row.case.workload):
        parts += [f"### {workload}\n", "\n".join(_table(results, list(group))) + "\n"]
    return "\n".join(parts)


_LEGEND = """Medians over the rounds; ± is half the distance from the slowest round to the fastest.
p50, p90 and p99 are of single operations. The ratio is to the row named as the workload's floor,
round by round. The best cell of the stores is bold, whoever wins and whatever is durable; floors
are no stores.
"""


def _head(results: Results) -> str:
    machine = ", ".join(f"{name} {value}" for name, value in results.machine.items())
    absent = "; ".join(f"{name}: {why}" for name, why in results.missing.items()) or "nobody"
    settings = ", ".join(f"{name} {value}" for name, value in results.settings.items())
    return f"Machine: {machine}.\n\nRun: {settings}. Missing: {absent}.\n"


def _order(results: Results, row: Row) -> int:
    """Workloads in the order of their first row."""
    names = list(dict.fromkeys(one.case.workload for one in results.rows.values()))
    return names.index(row.case.workload)


def figures(results: Results) -> str:
    """Each promise beside what was measured."""
    lines = ["| workload | wanted | measured | over the rounds | |", "|---|---|--:|--:|---|"]
    for figure in FIGURES:
        verdict = figure.judge(results)
        measured, spread = _measured(verdict, figure.unit)
        word = "pass" if verdict.passed else "**miss**" if verdict.values else "not measured"
        lines.append(f"| {figure.workload} | {figure.wanted} | {measured} | {spread} | {word} |")
    return "\n".join(lines) + "\n"


def _measured(verdict: Verdict, unit: str) -> tuple[str, str]:
    if not verdict.values:
        return "", ""
    low, high = _number(min(verdict.values)), _number(max(verdict.values))
    return f"{_number(verdict.value)}{unit}", f"{low} to {high}"


def _table(results: Results, rows: list[Row]) -> Iterator[str]:
    yield "| who | durable on return | objects/s | MB/s | p50 µs | p90 µs | p99 µs | of its floor |"
    yield "|---|---|--:|--:|--:|--:|--:|--:|"
    best = _best([row for row in rows if row.kind != "floor"])
    for row in rows:
        cells = [row.case.subject, row.durable, *_cells(row, best), _ratio(results, row)]
        yield f"| {' | '.join(cells)} |"
    for note in dict.fromkeys(row.case.note for row in rows if row.case.note):
        yield f"\nNote: {note}."
    extra = [_listed(row) for row in rows if row.middle("first_ms") is not None]
    if extra:
        yield "\n" + " ".join(extra)


def _listed(row: Row) -> str:
    first, peak = row.middle("first_ms"), row.middle("peak_bytes")
    memory = f"{(peak or 0) / _MIB:.1f} MiB at peak"
    return f"{row.case.subject}: first record after {first:.2f} ms, {memory}."


def _best(rows: list[Row]) -> dict[str, float]:
    best = {"rate": max((row.rate for row in rows), default=0)}
    for field in ("p50_us", "p90_us", "p99_us"):
        best[field] = min((v for row in rows if (v := row.middle(field))), default=0)
    return best


def _cells(row: Row, best: dict[str, float]) -> Iterator[str]:
    if not row.good:
        yield from (f"failed: {row.error}", "", "", "", "")
        return
    store = row.kind != "floor"
    spread = f" ± {100 * row.spread:.0f} %" if len(row.good) > 1 else ""
    yield _bold(_number(row.rate), on=store and row.rate == best["rate"]) + spread
    speed = row.good[0].bytes / row.good[0].operations * row.rate / 1e6
    yield _number(speed) if row.case.size >= _BYTES_TELL_FROM and speed else ""
    for field in ("p50_us", "p90_us", "p99_us"):
        value = row.middle(field)
        text = "" if value is None else _number(value)
        yield _bold(text, on=store and value is not None and value == best[field])


def _ratio(results: Results, row: Row) -> str:
    ratio = results.ratio(row.case.name, f"{row.case.workload}/{row.case.floor}")
    return "" if ratio is None else f"{ratio:.2f} of {row.case.floor}"


def _bold(text: str, *, on: bool) -> str:
    return f"**{text}**" if on and text else text


def _number(value: float) -> str:
    """Three figures that tell."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def front(results: Results) -> str:
    """Some rows, for the README of the project: loose and packed beside the rivals."""
    lines = [
        "| objects/s | loose | of the floor | packed | of the floor | the best rival |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for title, workload in _FRONT:
        rows = [row for row in results.rows.values() if row.case.workload == workload and row.good]
        if any(row.kind == "contentdb" for row in rows):
            lines.append(_front_row(results, title, rows))
    where = f"{results.machine['cpu']}, {results.machine['cores']} cores"
    return "\n".join(lines) + (
        f"\n\nOn {where}, {results.machine['filesystem']}; the floor is hand-written Python with "
        "the same durability, files and no database. [All figures](benchmarks/README.md), and what "
        "is durable in each.\n"
    )


def _rate(row: Row) -> float:
    return row.rate


def _front_row(results: Results, title: str, rows: list[Row]) -> str:
    ours = [row for row in rows if row.kind == "contentdb" and row.durable != "no"]
    packed = [row for row in ours if " packed " in row.case.subject]
    loose = [row for row in ours if row not in packed]
    rivals = [row for row in rows if row.kind == "rival"]
    fastest = [max(kind, key=_rate, default=None) for kind in (loose, packed, rivals)]
    best = max(row.rate for row in fastest if row is not None)
    cells = [title]
    for row in fastest:
        cells.append("" if row is None else _bold(_number(row.rate), on=row.rate == best))
        floor = None if row is None else f"{row.case.workload}/{row.case.floor}"
        ratio = None if row is None else results.ratio(row.case.name, str(floor))
        cells.append("" if ratio is None else f"{ratio:.2f}")
    rival = fastest[-1]
    cells[-2:] = [f"{cells[-2]} {rival.case.subject} (durable: {rival.durable})" if rival else ""]
    return f"| {' | '.join(cells)} |"


def replaced(text: str, block: str) -> str:
    """Put the block between the two marks of a text, which must be there."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no place for the benchmarks: it is marked by {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{block}\n{END}{after}"
