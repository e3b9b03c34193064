"""Full disks, of bytes and of inodes: the store refuses in its own words and keeps what it has.

A small filesystem is filled up to a few blocks, or a few inodes, an operation is tried, what had
been acknowledged is read while the disk is still full, then room is made and the store checked.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Self

import contentdb
from contentdb.local.layout import RESERVE
from tests.crash import disks
from tests.crash.checker import check
from tests.crash.fewshards import keep_few
from tests.crash.ledger import Ledger, Promises, digest_of
from tests.crash.scenarios import SCENARIOS
from tests.crash.suite import Outcome, Plan, Violation, chosen
from tests.crash.trees import scratch
from tests.crash.worker import in_child

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["full_disks"]

_SCENARIOS: Final = (
    "commit", "ingest", "group", "batch", "resume", "heal", "delete", "delete-many", "prune",
    "repair",
    "reindex", "label", "checkpoint", "begin",
)  # fmt: skip
_BLOCK: Final = 4096
_FREE_BLOCKS: Final = range(36)
_FREE_INODES: Final = range(8)
_INODES: Final = 512
_EXT4_BYTES: Final = 128 << 20
"""Room enough for a store to keep its reserve."""


class Case(NamedTuple):
    """One full disk."""

    filesystem: str
    resource: str
    free: int
    scenario: str

    @classmethod
    def named(cls, name: str) -> Self:
        """From its name."""
        filesystem, resource, free, scenario = name.split(" ")
        return cls(filesystem, resource, int(free), scenario)

    def name(self) -> str:
        """To its name."""
        return " ".join(map(str, self))


class Bench:
    """Images with the stores that scenarios meet."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._said: dict[tuple[str, str], list[str]] = {}

    def _image(self, filesystem: str, scenario: str) -> tuple[Path, list[str]]:
        base = self._place / f"{filesystem}-{scenario}"
        if (filesystem, scenario) not in self._said:
            options = ["-m", "0", "-N", str(_INODES)] if filesystem == "ext4" else []
            size = _EXT4_BYTES if filesystem == "ext4" else None
            disks.make(base, filesystem, *options, size=size)
            with self._mounted(base, filesystem) as at:
                (at / "store").mkdir()
                prepare = SCENARIOS[scenario].prepare
                _, said = in_child(lambda ledger: prepare(at / "store", ledger))
                os.sync()
            disks.thin(base)
            self._said[filesystem, scenario] = said
        return base, self._said[filesystem, scenario]

    @contextlib.contextmanager
    def _mounted(self, image: Path, filesystem: str) -> Iterator[Path]:
        at = self._place / "mount"
        with disks.attached(image) as device, disks.mounted(device, at, filesystem) as mount:
            yield mount

    def attempt(self, case: Case) -> tuple[bool, list[str]]:
        """Whether the operation was refused, and what is wrong."""
        base, before = self._image(case.filesystem, case.scenario)
        image = self._place / "image"
        disks.copy(base, image)
        with self._mounted(image, case.filesystem) as at:
            filler = _fill_bytes if case.resource == "bytes" else _fill_inodes
            spent = case.free % 2 == 1  # the store has given up its reserve before
            if spent:
                (at / "store" / RESERVE).unlink(missing_ok=True)
            filler(at / "filling", case.free)
            run = SCENARIOS[case.scenario].run
            status, said = in_child(lambda ledger: run(at / "store", ledger))
            promises = Promises(before + said)
            found = [f"died with status {status}"] if status else []
            if promises.error and not promises.error.startswith("contentdb."):
                found.append(f"not an error of ours: {promises.error}")
            if not spent and (case.resource == "bytes" or case.free):
                found += _check_reads(at / "store", promises)
            shutil.rmtree(at / "filling")
            return promises.error is not None, found + check(at / "store", promises, power=False)


def _fill_bytes(folder: Path, free_blocks: int) -> None:
    """Take all blocks, then give some back."""
    folder.mkdir()
    spare = folder / "spare"
    spare.write_bytes(bytes(_BLOCK * free_blocks))
    with (folder / "filler").open("wb", buffering=0) as file:
        os.sync()
        for size in (1 << 20, _BLOCK):
            with contextlib.suppress(OSError):
                while True:
                    os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, size)
    spare.unlink()
    os.sync()


def _fill_inodes(folder: Path, free: int) -> None:
    folder.mkdir()
    count = 0
    try:
        for count in range(1_000_000):
            (folder / str(count)).touch()
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
    for number in range(count - free, count):
        (folder / str(number)).unlink()


def _check_reads(root: Path, promises: Promises) -> Iterator[str]:
    """What is stored can be read while the disk is full: the reserve is there for that.

    Without it, or without an inode besides, SQLite cannot even open the index.
    """

    def read_all(_: Ledger) -> None:
        with contentdb.open(root) as store:
            for number in promises.have:
                store.read(digest_of(number))

    status, said = in_child(read_all)
    if status or said:
        yield f"not readable while the disk is full: status {status}, {said}"


def _share(share: tuple[list[Case], Plan, float]) -> tuple[int, int, list[Violation]]:
    keep_few()
    cases, plan, deadline = share
    place = Path(tempfile.mkdtemp(prefix="contentdb-full-", dir=scratch()))
    tried = refused = 0
    violations: list[Violation] = []
    try:
        bench = Bench(place)
        for case in cases:
            if plan.enough(violations, deadline):
                break
            was_refused, found = bench.attempt(case)
            tried += 1
            refused += was_refused
            violations += [Violation(case.name(), what) for what in found]
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return tried, refused, violations


def full_disks(plan: Plan) -> Outcome:
    """Run the suite."""
    disks.require("mkfs.ext4", "mkfs.xfs")
    scenarios = plan.scenarios or _SCENARIOS
    every = [
        Case(filesystem, "bytes", free, scenario)
        for filesystem in disks.FILESYSTEMS
        for scenario in scenarios
        for free in _FREE_BLOCKS
    ]
    every += [Case("ext4", "inodes", free, name) for name in scenarios for free in _FREE_INODES]
    cases = [Case.named(plan.case)] if plan.case else chosen(every, plan)
    shares = [(cases[i :: plan.jobs], plan, plan.deadline()) for i in range(plan.jobs)]
    with ProcessPoolExecutor(plan.jobs, mp_context=get_context("fork")) as pool:
        done = list(pool.map(_share, shares))
    tried, refused = sum(part[0] for part in done), sum(part[1] for part in done)
    found = [one for part in done for one in part[2]]
    return Outcome(tried, found, f"{refused:,} refused")
