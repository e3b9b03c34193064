"""Power loss, second engine: real filesystems on loop devices, stopped by the kernel.

A scenario is killed before a call, the filesystem is shut down as if the power had failed, with
its journal's buffers flushed or not, mounted again, and the store checked. The WAL is cold (as
after a clean close) or warm (grown and reused): a cold one hides missing syncs, because growing
it commits the journal.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, TypeVar

import contentdb
from tests.crash import disks
from tests.crash.checker import check
from tests.crash.company import company
from tests.crash.fewshards import keep_few
from tests.crash.ledger import Promises
from tests.crash.pool import Pool
from tests.crash.scenarios import SCENARIOS
from tests.crash.shim import CHANGING_CALLS, Mode
from tests.crash.suite import FailsUndisturbedError, Outcome, Plan, Violation, chosen, spread
from tests.crash.trees import scratch
from tests.crash.worker import in_child

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["cuts"]

_SCENARIOS: Final = tuple(
    name
    for name in SCENARIOS
    if name not in {"read", "begin", "create", "create-for-group", "label", "again"}
)
T = TypeVar("T")

_WALS: Final = ("cold", "warm")


class Case(NamedTuple):
    """One power cut."""

    filesystem: str
    cut: str
    wal: str
    scenario: str
    target: int

    @classmethod
    def named(cls, name: str) -> Self:
        """From its name."""
        filesystem, cut, wal, scenario, target = name.split(" ")
        return cls(filesystem, cut, wal, scenario, int(target))

    def name(self) -> str:
        """To its name."""
        return " ".join(map(str, self))


class Bench:
    """Images with the stores that scenarios meet, and a place to mount them."""

    def __init__(self, place: Path, pool: Pool) -> None:
        self._place = place
        self._pool = pool
        self._said: dict[tuple[str, str, str], list[str]] = {}

    def _image(self, filesystem: str, wal: str, scenario: str) -> tuple[Path, list[str]]:
        key = (filesystem, wal, scenario)
        image = self._place / "-".join(key)
        if key not in self._said:
            disks.make(image, filesystem)
            with self._mounted(image, filesystem) as at:
                self._said[key] = _prepare(at / "store", scenario, wal)
            disks.thin(image)
        return image, self._said[key]

    def _mounted(self, image: Path, filesystem: str) -> _Mounted:
        return _Mounted(image, self._place / "mount", filesystem)

    def count(self, scenario: str) -> int:
        """About how many calls there are to cut before: elsewhere there may be a few less."""
        answer = self._pool.ask({"scenario": scenario, "mask": CHANGING_CALLS})
        if answer["error"]:
            raise FailsUndisturbedError(f"{scenario}: {answer['error']}")
        return int(answer["count"])

    def _run(self, at: Path, scenario: str, mode: int, target: int) -> dict[str, Any]:
        job = {"root": str(at / "store"), "scenario": scenario, "mode": mode}
        return self._pool.ask(job | {"target": target, "mask": CHANGING_CALLS})

    def cut(self, case: Case) -> list[str]:
        """Cut the power once; what is wrong after it."""
        image, before = self._image(case.filesystem, case.wal, case.scenario)
        disks.copy(image, self._place / "image")
        with (
            self._mounted(self._place / "image", case.filesystem) as at,
            company(at / "store") if case.wal == "warm" else contextlib.nullcontext(),
        ):
            answer = self._run(at, case.scenario, Mode.KILL, case.target)
            disks.cut_power(at, case.cut)
        promises = Promises([*before, *answer["said"]])
        with self._mounted(self._place / "image", case.filesystem) as at:
            return check(at / "store", promises, power=True)


class _Mounted:
    """An image, attached and mounted."""

    def __init__(self, image: Path, at: Path, filesystem: str) -> None:
        self._attached = disks.attached(image)
        self._at = at
        self._filesystem = filesystem

    def __enter__(self) -> Path:
        device = self._attached.__enter__()
        self._mount = disks.mounted(device, self._at, self._filesystem)
        try:
            return self._mount.__enter__()
        except BaseException:
            self._attached.__exit__(None, None, None)
            raise

    def __exit__(self, *_: object) -> None:
        try:
            self._mount.__exit__(None, None, None)
        finally:
            self._attached.__exit__(None, None, None)


def _prepare(root: Path, scenario: str, wal: str) -> list[str]:
    root.mkdir()
    _, said = in_child(lambda ledger: SCENARIOS[scenario].prepare(root, ledger))
    old = any(line.startswith("migrating") for line in said)
    if wal == "cold" and not old and (root / "index.sqlite").exists():
        more = in_child(lambda _: contentdb.open(root).close())[1]
        said += more
    if any(line.startswith("failed") for line in said):
        raise RuntimeError(f"cannot prepare {scenario}: {said[-1]}")
    os.sync()
    return said


def _with_bench(work: Callable[[Bench], T], mutant: str | None) -> T:
    place = Path(tempfile.mkdtemp(prefix="contentdb-cuts-", dir=scratch()))
    try:
        with Pool(1, mutant=mutant) as pool:
            return work(Bench(place, pool))
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _counts(bench: Bench, scenarios: tuple[str, ...]) -> list[Case]:
    return [
        Case(filesystem, cut, wal, scenario, target)
        for scenario in scenarios
        for target in range(bench.count(scenario) + 1)
        for filesystem, wal, cut in itertools.product(disks.FILESYSTEMS, _WALS, disks.CUTS)
    ]


def _cut_all(
    bench: Bench, cases: list[Case], plan: Plan, deadline: float
) -> tuple[int, list[Violation]]:
    tried = 0
    violations: list[Violation] = []
    for case in cases:
        if plan.enough(violations, deadline):
            break
        tried += 1
        violations += [Violation(case.name(), what) for what in bench.cut(case)]
    return tried, violations


def _cut_share(share: tuple[list[Case], Plan, float]) -> tuple[int, list[Violation]]:
    keep_few()
    cases, plan, deadline = share
    if not plan.first:  # then each image is made once, and is at hand
        cases.sort(key=lambda case: (case.filesystem, case.wal, case.scenario))
    return _with_bench(lambda bench: _cut_all(bench, cases, plan, deadline), plan.mutant)


def cuts(plan: Plan) -> Outcome:
    """Run the suite."""
    disks.require("mkfs.ext4", "mkfs.xfs")
    deadline = plan.deadline()
    scenarios = plan.scenarios or _SCENARIOS
    if plan.case:
        cases = [Case.named(plan.case)]
    else:
        every = _with_bench(lambda bench: _counts(bench, scenarios), plan.mutant)
        cases = chosen(every, plan)
    shares = [((cases[i :: plan.jobs], plan, deadline),) for i in range(plan.jobs)]
    tried, found = spread(plan, _cut_share, shares)
    return Outcome(tried, found, "ext4 and xfs, 4 settings each")
