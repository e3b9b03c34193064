"""A disk that fails: write k of the disk under the filesystem gets EIO, so that a sync fails.

What the store had acknowledged is read again after the filesystem was unmounted and the page
cache dropped with it: a cache that reads right over a disk that holds zeros deceives nobody.

xfs stops itself over an error of its log, at a moment of its own; from then on it answers a
page fault with SIGBUS, and SQLite maps its ``-shm`` file. A process that dies of that is judged
as one that was killed.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final, NamedTuple, Self

from tests.crash import disks, rig
from tests.crash.checker import check
from tests.crash.fewshards import keep_few
from tests.crash.ledger import Promises
from tests.crash.suite import Outcome, Plan, Violation, chosen, spread
from tests.crash.trees import scratch

__all__ = ["block_errors"]

_SCENARIOS: Final = ("commit", "group", "delete", "checkpoint", "resume")
_WRITES: Final = 40
"""Block writes of a scenario that are tried, at most; fewer happen in some."""

_FILESYSTEM_DAMAGED: Final = f"[Errno {errno.EUCLEAN}]"
"""The error hit a write of the filesystem's own, and it did not survive: no store can help that."""


class Case(NamedTuple):
    """One error."""

    filesystem: str
    scenario: str
    target: int
    lasting: str

    @classmethod
    def named(cls, name: str) -> Self:
        """From its name."""
        filesystem, scenario, target, lasting = name.split(" ")
        return cls(filesystem, scenario, int(target), lasting)

    def name(self) -> str:
        """To its name."""
        return " ".join(map(str, self))


def _try(
    case: Case, place: Path, bases: dict[tuple[str, str], list[str]], mutant: str | None
) -> list[str]:
    base, image = place / f"{case.filesystem}-{case.scenario}", place / "disk"
    key = (case.filesystem, case.scenario)
    if key not in bases:
        bases[key] = rig.prepared_image(base, *key, place / "mount")
    disks.copy(base, image)
    (place / "ledger").unlink(missing_ok=True)
    environment = os.environ | ({"CRASH_MUTANT": mutant} if mutant else {})
    with (
        rig.on_fuse(image, place) as fuse,
        disks.attached(fuse / "disk") as device,
        disks.mounted(device, place / "mount", case.filesystem) as mount,
    ):
        rig.keep_writes_whole(device)
        os.sync()
        (fuse / "poison").write_text(f"{case.target} {case.lasting}")
        command = [sys.executable, "-m", "tests.crash.record", case.scenario]
        command += [str(mount / "store"), str(place / "ledger")]
        status = subprocess.run(command, cwd=rig.CHECKOUT, env=environment, check=False).returncode
        (fuse / "poison").write_text("off")
    if status not in {0, -signal.SIGBUS}:
        return [f"the process ended with status {status}"]
    promises = Promises(bases[key] + (place / "ledger").read_text().splitlines())
    found = []
    if promises.error and not promises.error.startswith("contentdb."):
        found.append(f"not an error of ours: {promises.error}")
    with (
        disks.attached(image) as device,
        disks.mounted(device, place / "mount", case.filesystem) as at,
    ):
        found += check(at / "store", promises, power=True)
    return [] if any(_FILESYSTEM_DAMAGED in what for what in found) else found


def _share(share: tuple[list[Case], Plan, float]) -> tuple[int, list[Violation]]:
    keep_few()
    cases, plan, deadline = share
    place = Path(tempfile.mkdtemp(prefix="contentdb-eio-", dir=scratch()))
    tried = 0
    violations: list[Violation] = []
    bases: dict[tuple[str, str], list[str]] = {}
    try:
        for case in cases:
            if plan.enough(violations, deadline):
                break
            tried += 1
            violations += [
                Violation(case.name(), what) for what in _try(case, place, bases, plan.mutant)
            ]
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return tried, violations


def block_errors(plan: Plan) -> Outcome:
    """Run the suite."""
    rig.require("mkfs.ext4", "mkfs.xfs")
    deadline = plan.deadline()
    every = [
        Case(filesystem, scenario, target, lasting)
        for filesystem in disks.FILESYSTEMS
        for scenario in plan.scenarios or _SCENARIOS
        for target in range(_WRITES)
        for lasting in ("once", "lasting")
    ]
    cases = [Case.named(plan.case)] if plan.case else chosen(every, plan)
    shares = [((cases[i :: plan.jobs], plan, deadline),) for i in range(plan.jobs)]
    tried, found = spread(plan, _share, shares)
    return Outcome(tried, found, "ext4 and xfs")
