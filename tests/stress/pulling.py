"""Pulls under a lease, killed at each step, while collections without grace go on beside them.

Whatever the lease has when the pull is killed stays; the pull that follows goes on from there and
the image is whole. A case is the number of the event at which the pull is killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

import contentdb
from contentdb import oci
from tests.crash.suite import Outcome, Violation
from tests.hostile.server import Server
from tests.oci.filled import nested
from tests.stress.crew import crew, place

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.crash.suite import Plan

__all__ = ["pulls"]

_NOTHING: Final = timedelta(0)
_LEASE: Final = "pull"
_NEVER: Final = 1 << 30


def pull_and_die(root: str, reference: str, at: int) -> None:
    """Pull an image under the lease, and be killed at an event; else print how many there were."""
    seen = 0

    def listen(_event: oci.Event) -> None:
        nonlocal seen
        seen += 1
        if seen == at:
            os.kill(os.getpid(), signal.SIGKILL)

    host = oci.parse_reference(reference).registry
    with (
        contentdb.open(root, create=False) as store,
        oci.Registry(host, plain_http=True) as registry,
        store.use_lease(_LEASE) as lease,
    ):
        pulled = oci.pull(
            lease, reference, registry=registry, all_platforms=True, jobs=2, listen=listen
        )
        lease.tag("pulled", pulled.digest)
    sys.stdout.write(f"{seen}\n")


_PROGRAM: Final = (
    "import sys; from tests.stress.pulling import pull_and_die; "
    "pull_and_die(sys.argv[1], sys.argv[2], int(sys.argv[3]))"
)


def _pull(root: Path, reference: str, at: int) -> int | None:
    """Return how many events there were; None if the pull was killed."""
    command = [sys.executable, "-c", _PROGRAM, str(root), reference, str(at)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if done.returncode == -signal.SIGKILL:
        return None
    done.check_returncode()
    return int(done.stdout)


@contextmanager
def _collecting(root: Path) -> Iterator[None]:
    """Collect again and again, with no grace."""
    over = threading.Event()
    failures: list[Exception] = []

    def collect() -> None:
        with contentdb.open(root, create=False) as store:
            while not over.is_set():
                try:
                    store.collect(grace=_NOTHING, no_roots=True)
                except Exception as error:  # noqa: BLE001 - raised by the case
                    failures.append(error)
                    return

    thread = threading.Thread(target=collect)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if failures:
        raise failures[0]


def _run(root: Path, at: int) -> Iterator[str]:
    """Kill a pull at an event and let another one go on; yield what is wrong."""
    shelf = nested()
    with Server(shelf.answer) as server, contentdb.open(root) as store:
        reference = f"{server.name}/a/b:v1"
        store.lease(id=_LEASE, lasting=True)
        with _collecting(root):
            _pull(root, reference, at)
            kept = _kept(store)
            store.collect(grace=_NOTHING, no_roots=True)
            if gone := kept - _there(store):
                yield f"collected though the lease has it: {sorted(gone)}"
            before = len(shelf.log)
            _pull(root, reference, _NEVER)
            if again := [one for one in kept if any(one in line for line in shelf.log[before:])]:
                yield f"asked for again though it was kept: {sorted(again)}"
            store.end_lease(_LEASE)
            store.collect(grace=_NOTHING)
        wanted = set(shelf.blobs) | {name for _, name in shelf.manifests if name != "v1"}
        if (found := _there(store)) != wanted:
            yield f"lacks {sorted(wanted - found)}, has {sorted(found - wanted)}"
        yield from (f"{finding}" for finding in store.verify())
        store.untag("pulled")
        store.collect(grace=_NOTHING, no_roots=True)
        if left := _there(store):
            yield f"left in the end: {sorted(left)}"


def _kept(store: contentdb.Store) -> set[str]:
    """Return what the lease keeps of what is stored."""
    items = store.use_lease(_LEASE).items()
    return {item.name for item in items if item.kind == "content"} & _there(store)


def _there(store: contentdb.Store) -> set[str]:
    return {str(info.digest) for info in store.walk()}


def _some(root: Path, cases: Sequence[int], plan: Plan) -> tuple[int, list[Violation]]:
    found: list[Violation] = []
    deadline = plan.deadline()
    for tried, at in enumerate(cases):
        if plan.enough(found, deadline):
            return tried, found
        try:
            found += [Violation(str(at), what) for what in _run(root / f"{at}", at)]
        except (contentdb.ContentDBError, subprocess.CalledProcessError) as error:
            found.append(Violation(str(at), f"{type(error).__name__}: {error}"))
    return len(cases), found


def _count_events(root: Path) -> int:
    """Return how many events an undisturbed pull has."""
    with Server(nested().answer) as server, contentdb.open(root) as store:
        store.lease(id=_LEASE, lasting=True)
        events = _pull(root, f"{server.name}/a/b:v1", _NEVER)
    if events is None:
        raise RuntimeError("a pull was killed that nobody kills")
    return events


def pulls(plan: Plan) -> Outcome:
    """Kill pulls at each event in turn, round after round."""
    with place("pulls") as folder:
        if plan.case is not None:
            cases = [int(plan.case)]
        else:
            (events,) = crew([partial(_count_events, folder / "whole")])
            wanted = plan.limit or events
            # spread over all events: the share of a few cases sees each part of a pull
            cases = [1 + number * events // wanted % events for number in range(wanted)]
            cases = list(dict.fromkeys(cases)) if wanted <= events else cases
        parts = [
            partial(_some, folder / f"{job}", cases[job :: plan.jobs], plan)
            for job in range(plan.jobs)
        ]
        answers = crew(parts)
    found = [violation for _, violations in answers for violation in violations]
    return Outcome(sum(tried for tried, _ in answers), found, "a collection beside each")
