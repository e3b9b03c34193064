"""Power loss, third engine: block images, replayed from what a disk was told.

While a scenario runs, a disk of ours records each write and each flush. Until a flush, a disk
may have kept any of the writes before it: images with each prefix of them, each one missing,
each one alone, each one torn, and some of them drawn by lot are mounted, so that the
filesystem's own recovery runs, and the store on them is checked.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.crash import disks, rig
from tests.crash.checker import check
from tests.crash.company import company
from tests.crash.fewshards import keep_few
from tests.crash.fusedisk import Flush, Mark, Write, events
from tests.crash.ledger import Promises
from tests.crash.suite import Outcome, Plan, Violation, chosen, spread
from tests.crash.trees import scratch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["images"]

_SCENARIOS: Final = (
    "commit", "group", "group-small", "delete", "checkpoint", "ingest", "heal", "resume", "repair",
    "batch", "add", "reindex",
)  # fmt: skip
_SECTOR: Final = 4096
"""What a disk writes whole or not at all; filesystems rely on it for their superblocks."""


_DRAWN: Final = 8
"""Images by lot for each write before a flush."""


class Image(NamedTuple):
    """A state of the disk: which writes since the last flush it kept, how much of the last."""

    at: int
    kind: str
    kept: tuple[int, ...]
    last_bytes: int | None = None

    def name(self) -> str:
        """For the name of a case."""
        return f"{self.at} {self.kind}"


def candidates(log: Sequence[Write | Flush | Mark]) -> Iterator[Image]:
    """All images to look at, in the order of the log."""
    waiting: list[int] = []
    for at, event in enumerate(log):
        if isinstance(event, Write):
            waiting.append(at)
        elif isinstance(event, Mark):
            yield Image(at + 1, "none", ())
            yield Image(at + 1, "all", tuple(waiting))
        else:
            yield from _before_flush(at, waiting, log)
            waiting = []


def _before_flush(
    at: int, waiting: list[int], log: Sequence[Write | Flush | Mark]
) -> Iterator[Image]:
    yield Image(at, "none", ())
    for place, write in enumerate(waiting):
        others = waiting[:place] + waiting[place + 1 :]
        yield Image(at, f"prefix={write}", tuple(waiting[: place + 1]))
        yield Image(at, f"drop={write}", tuple(others))
        yield Image(at, f"only={write}", (write,))
        event = log[write]
        if isinstance(event, Write) and len(event.data) > _SECTOR:
            kept = _SECTOR * (1 + write % (len(event.data) // _SECTOR))
            yield Image(at, f"torn={write}", tuple(waiting[: place + 1]), kept)
    if len(waiting) > 2:  # of two all there is was drawn above
        for number in range(_DRAWN * len(waiting)):
            lots = random.Random(f"{at} {number}")
            drawn = tuple(write for write in waiting if lots.random() < 0.5)
            yield Image(at, f"some={number}", drawn)


class Replay:
    """Puts images on a file, moving forward through the log."""

    def __init__(self, base: Path, log: Sequence[Write | Flush | Mark], place: Path) -> None:
        self._stable = place / "stable"
        self._image = place / "image"
        self._log = log
        self._at = 0
        self._waiting: list[int] = []
        self._blocks: dict[int, bytes] = {}
        disks.copy(base, self._stable)

    def _advance(self, at: int) -> None:
        for place in range(self._at, at):
            event = self._log[place]
            if isinstance(event, Write):
                self._waiting.append(place)
            elif isinstance(event, Flush):
                with self._stable.open("r+b") as file:
                    for write in self._waiting:
                        self._put(file.fileno(), write, None)
                        kept = self._log[write]
                        assert isinstance(kept, Write)
                        self._blocks.update(_blocks_of(kept.offset, kept.data))
                self._waiting = []
        self._at = at

    def _put(self, fd: int, write: int, size: int | None) -> None:
        event = self._log[write]
        assert isinstance(event, Write)
        os.pwrite(fd, event.data[:size], event.offset)

    def key(self, image: Image) -> bytes:
        """Equal for images that hold the same."""
        self._advance(image.at)
        blocks = dict(self._blocks)
        for write in image.kept:
            event = self._log[write]
            assert isinstance(event, Write)
            torn = image.last_bytes if write == image.kept[-1] else None
            blocks.update(_blocks_of(event.offset, event.data[:torn]))
        made = blake2b(digest_size=16)
        for block in sorted(blocks):
            made.update(block.to_bytes(8, "little") + blocks[block])
        return made.digest()

    def put(self, image: Image) -> Path:
        """Make the image; images come in the order of the log."""
        self._advance(image.at)
        disks.copy(self._stable, self._image)
        with self._image.open("r+b") as file:
            for write in image.kept:
                torn = image.last_bytes if write == image.kept[-1] else None
                self._put(file.fileno(), write, torn)
        return self._image


def _blocks_of(offset: int, data: bytes) -> Iterator[tuple[int, bytes]]:
    for start in range(0, len(data), _SECTOR):
        yield (
            (offset + start) // _SECTOR,
            blake2b(data[start : start + _SECTOR], digest_size=8).digest(),
        )


def recorded(
    scenario: str, filesystem: str, place: Path, mutant: str | None
) -> tuple[Path, list[str], list[Write | Flush | Mark]]:
    """Run a scenario on a disk that remembers: the image before, what was promised, the log."""
    base, image = place / "base", place / "disk"
    said = rig.prepared_image(base, filesystem, scenario, place / "mount")
    disks.copy(base, image)
    environment = os.environ | ({"CRASH_MUTANT": mutant} if mutant else {})
    with (
        rig.on_fuse(image, place) as fuse,
        disks.attached(fuse / "disk") as device,
        disks.mounted(device, place / "mount", filesystem) as mount,
    ):
        os.sync()
        command = [sys.executable, "-m", "tests.crash.record", scenario]
        command += [str(mount / "store"), str(fuse / "mark")]
        with company(mount / "store"):
            subprocess.run(command, cwd=rig.CHECKOUT, env=environment, check=True)
    return base, said, list(events(place / "log"))


def _run(
    scenario: str, filesystem: str, plan: Plan, deadline: float
) -> tuple[int, list[Violation]]:
    keep_few()
    place = Path(tempfile.mkdtemp(prefix="contentdb-images-", dir=scratch()))
    try:
        base, said, log = recorded(scenario, filesystem, place, plan.mutant)
        every = list(candidates(log))
        if plan.case:
            wanted = plan.case.split(" ", 2)[2]
            every = [image for image in every if image.name() == wanted]
        every = sorted(chosen(every, plan), key=lambda image: image.at)
        replay = Replay(base, log, place)
        case = f"{filesystem} {scenario}"
        return _check_all(case, replay, every, (said, log), plan, deadline)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _check_all(
    case: str,
    replay: Replay,
    every: list[Image],
    heard: tuple[list[str], list[Write | Flush | Mark]],
    plan: Plan,
    deadline: float,
) -> tuple[int, list[Violation]]:
    said, log = heard
    seen: set[tuple[bytes, int]] = set()
    violations: list[Violation] = []
    for image in every:
        if plan.enough(violations, deadline):
            break
        lines = [
            line
            for event in log[: image.at]
            if isinstance(event, Mark)
            for line in event.text.splitlines()
        ]
        key = (replay.key(image), len(lines))
        if key in seen:
            continue
        seen.add(key)
        found = _check(replay.put(image), case.partition(" ")[0], Promises(said + lines))
        violations += [Violation(f"{case} {image.name()}", what) for what in found]
    return len(seen), violations


def _check(image: Path, filesystem: str, promises: Promises) -> list[str]:
    at = image.parent / "mount"
    try:
        with disks.attached(image) as device, disks.mounted(device, at, filesystem):
            return check(at / "store", promises, power=True)
    except OSError as error:
        return [f"the filesystem cannot be mounted: {error}"]


def images(plan: Plan) -> Outcome:
    """Run the suite; the plan's limit is for all scenarios together."""
    rig.require("mkfs.ext4", "mkfs.xfs")
    deadline = plan.deadline()
    if plan.case:
        filesystem, scenario, _ = plan.case.split(" ", 2)
        wanted = [(scenario, filesystem)]
    else:
        wanted = [(name, fs) for name in plan.scenarios or _SCENARIOS for fs in disks.FILESYSTEMS]
    if plan.limit is not None:
        wanted = wanted[: plan.limit]
        plan = plan._replace(limit=max(1, plan.limit // len(wanted)))
    tried, found = spread(plan, _run, [(*one, plan, deadline) for one in wanted])
    return Outcome(tried, found, f"distinct images of {len(wanted)} recordings")
