"""Recorded runs: JSON in, medians and ratios out. Ratios pair the samples of one round."""

from __future__ import annotations

import json
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.cases import Case
from benchmarks.measure import Sample

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Results", "Row"]

FORMAT = 1


class Row(NamedTuple):
    """A case and one sample a round; a round that failed left None."""

    case: Case
    kind: str
    durable: str
    samples: tuple[Sample | None, ...]
    error: str = ""

    @property
    def good(self) -> list[Sample]:
        """The samples that there are."""
        return [sample for sample in self.samples if sample is not None]

    @property
    def rates(self) -> list[float]:
        """Operations a second, round by round."""
        return [sample.operations / sample.seconds for sample in self.good]

    @property
    def rate(self) -> float:
        """The median of `rates`; 0 where nothing was measured."""
        return median(self.rates) if self.rates else 0.0

    @property
    def spread(self) -> float:
        """Half of highest minus lowest, as a part of the median."""
        rates = self.rates
        return (max(rates) - min(rates)) / 2 / self.rate if rates else 0.0

    def middle(self, field: str) -> float | None:
        """The median of a field of the samples, or None where they lack it."""
        values = [value for one in self.good if (value := getattr(one, field)) is not None]
        return median(values) if values else None


class Results:
    """A run: the machine, how it was run, its rows by name, and who was missing."""

    def __init__(
        self,
        machine: dict[str, str],
        settings: dict[str, Any],
        rows: list[Row],
        missing: dict[str, str],
    ) -> None:
        self.machine = machine
        self.settings = settings
        self.rows = {row.case.name: row for row in rows}
        self.missing = missing

    def ratios(self, name: str, against: str) -> list[float]:
        """Rates of one over the other, round by round; empty where one is not there."""
        ours, theirs = self.rows.get(name), self.rows.get(against)
        if ours is None or theirs is None:
            return []
        pairs = zip(ours.samples, theirs.samples, strict=False)
        return [
            (mine.operations / mine.seconds) / (other.operations / other.seconds)
            for mine, other in pairs
            if mine and other
        ]

    def ratio(self, name: str, against: str) -> float | None:
        """The median of `ratios`."""
        found = self.ratios(name, against)
        return median(found) if found else None

    def save(self, path: Path) -> None:
        """Write as JSON, a row a line, so that two runs can be told apart by eye."""
        rows = [json.dumps(_plain(row)) for row in self.rows.values()]
        head = {
            "format": FORMAT,
            "machine": self.machine,
            "settings": self.settings,
            "missing": self.missing,
        }
        text = json.dumps(head, indent=1).removesuffix("\n}")
        lines = ",\n  ".join(rows)
        path.write_text(f'{text},\n "rows": [\n  {lines}\n ]\n}}\n', encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Results:
        """Read a recorded run."""
        found = json.loads(path.read_text(encoding="utf-8"))
        if found.get("format") != FORMAT:
            raise ValueError(f"{path} is not a recorded run of format {FORMAT}")
        rows = [_row(plain) for plain in found["rows"]]
        return cls(found["machine"], found["settings"], rows, found["missing"])


def _plain(row: Row) -> dict[str, Any]:
    defaults = Case._field_defaults
    case = {k: v for k, v in row.case._asdict().items() if k not in defaults or v != defaults[k]}
    plain: dict[str, Any] = {"case": case, "kind": row.kind, "durable": row.durable}
    if row.error:
        plain["error"] = row.error
    plain["samples"] = [sample and _rounded(sample) for sample in row.samples]
    return plain


def _rounded(sample: Sample) -> dict[str, float]:
    known = {name: value for name, value in sample._asdict().items() if value is not None}
    return {
        name: round(value, 6)
        if name == "seconds"
        else round(value, 2)
        if isinstance(value, float)
        else value
        for name, value in known.items()
    }


def _row(plain: dict[str, Any]) -> Row:
    samples = tuple(sample and Sample(**sample) for sample in plain["samples"])
    return Row(
        Case(**plain["case"]), plain["kind"], plain["durable"], samples, plain.get("error", "")
    )
