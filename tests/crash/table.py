"""The suites of the runner: those of this folder, and those that other folders offer.

A folder offers suites by a module ``suites`` with a list ``SUITES``.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Final

from tests.crash.blockerrors import block_errors
from tests.crash.cuts import cuts
from tests.crash.faults import faults
from tests.crash.fulldisk import full_disks
from tests.crash.images import images
from tests.crash.kills import kills
from tests.crash.mutation import mutation
from tests.crash.probing import probing
from tests.crash.raises import SHARE, raises
from tests.crash.states import states
from tests.crash.suite import Plan, Suite

__all__ = ["suites"]

_OFFERING: Final = ("tests.stress.suites", "tests.damage.suites", "tests.cluster.suites")

_OWN: Final = (
    Suite(
        "kills",
        kills,
        "The process dies before each file or database call, or inside a write",
        share=Plan(limit=400, seconds=20),
        whole=Plan(),
    ),
    Suite(
        "states",
        states,
        "Power loss: crash states enumerated from a recording",
        share=Plan(limit=1_500, seconds=20),
        whole=Plan(seconds=780),
    ),
    Suite(
        "cuts",
        cuts,
        "Power loss: real ext4 and xfs stopped by the kernel; WAL cold and warm, journal "
        "flushed and not",
        share=Plan(limit=100, seconds=15, scenarios=("commit", "group", "delete")),
        whole=Plan(limit=5_200),
    ),
    Suite(
        "images",
        images,
        "Power loss: block images replayed from a recording of writes and flushes",
        share=Plan(limit=60, seconds=15, scenarios=("commit", "delete")),
        whole=Plan(seconds=600),
    ),
    Suite(
        "faults",
        faults,
        "Each call fails: EIO, ENOSPC, EDQUOT, EROFS, EMFILE once and lasting, EINTR",
        share=Plan(limit=500, seconds=20),
        whole=Plan(limit=20_500, seconds=700),
    ),
    Suite(
        "raises",
        raises,
        "An exception is raised at every point where CPython runs a signal handler, or the "
        "handler calls the store",
        share=Plan(limit=400, seconds=25, scenarios=SHARE),
        whole=Plan(seconds=1_800),
    ),
    Suite(
        "full",
        full_disks,
        "Small ext4 and xfs filled up, of bytes and of inodes",
        share=Plan(limit=24, seconds=10, scenarios=("commit", "group", "delete")),
        whole=Plan(),
    ),
    Suite(
        "eio",
        block_errors,
        "The disk under ext4 and xfs fails a write, so that a sync fails",
        share=Plan(limit=10, seconds=10, scenarios=("commit",)),
        whole=Plan(),
    ),
    Suite(
        "probes",
        probing,
        "Locks, checks and fences, and two actors that meet at a chosen step",
        share=Plan(),
        whole=Plan(),
    ),
    Suite(
        "mutants",
        mutation,
        "The store with one fsync, lock, check or ordering removed: is it caught?",
        share=Plan(limit=8, seconds=20),
        whole=Plan(),
    ),
)


def suites() -> dict[str, Suite]:
    """All suites by name, in the order of the report."""
    found = {suite.name: suite for suite in _OWN}
    for name in _OFFERING:
        if _exists(name):
            offered: list[Suite] = importlib.import_module(name).SUITES
            found |= {suite.name: suite for suite in offered}
    return found


def _exists(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # the folder is not there
        return False
