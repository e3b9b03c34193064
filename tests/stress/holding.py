"""Ref locks: one holder at a time, freed by death, taken from nobody who lives.

The witness of the first is memory that all processes share: whoever has got a lock writes its
number there, looks whether it stays, and adds one to a count that no lock protects. Two holders
at once show as a foreign number, or as a count that is too small.
"""

from __future__ import annotations

import mmap
import os
import random
import signal
import struct
import threading
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

import contentdb
from contentdb import files
from contentdb.local import locks
from tests.crash.suite import Outcome, Plan, Violation
from tests.stress.crew import crew, place, started

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["handovers", "holdings"]

_REFS: Final = 6
_PROCESSES: Final = 4
_THREADS: Final = 2
_STORE_SHARE: Final = 40
"""One acquisition of so many is a whole `Store.writer`."""
_UNLINK_SHARE: Final = 8
"""One holder of so many takes the file's name away, as a commit does."""

_SLOT: Final = struct.Struct("qqq")
"""Of a ref: who holds it, how often it was taken, how often it was held by two."""


class _Witness:
    """Memory that all processes see, and no lock guards."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _SLOT.size * 2 * _REFS)

    def held(self, slot: int, me: int, linger: Callable[[], None]) -> None:
        """Note that this holder has the slot, and leave it again."""
        at = slot * _SLOT.size
        before, count, double = _SLOT.unpack_from(self._memory, at)
        if before:
            double += 1
        struct.pack_into("q", self._memory, at, me)
        linger()
        (now,) = struct.unpack_from("q", self._memory, at)
        if now != me:
            double += 1
        _SLOT.pack_into(self._memory, at, 0, count + 1, double)

    def sums(self) -> tuple[int, int]:
        """Acquisitions that were counted, and double holders that were seen."""
        slots = [_SLOT.unpack_from(self._memory, n * _SLOT.size) for n in range(2 * _REFS)]
        return sum(slot[1] for slot in slots), sum(slot[2] for slot in slots)


def _hold(root: Path, witness: _Witness, me: int, count: int, seed: int, until: float) -> int:
    """Take locks again and again; how often one was got."""
    rng = random.Random(f"{seed} {me}")
    got = 0
    with contentdb.open(root, durability="process") as store:
        folder = files.open_directory(str(root.parent / "locks"))
        while got < count and time.monotonic() < until:
            if rng.randrange(_STORE_SHARE) == 0:
                got += _with_a_writer(store, witness, me, rng)
            else:
                got += _with_a_lock(folder, witness, me, rng)
        folder.close()
    return got


def _linger(rng: random.Random) -> Callable[[], None]:
    """Sometimes let the others run while the lock is held."""
    return partial(time.sleep, 0) if rng.random() < 0.1 else lambda: None


def _with_a_lock(folder: files.Directory, witness: _Witness, me: int, rng: random.Random) -> int:
    slot = rng.randrange(_REFS)
    wait: float | bool = rng.choice((0.0, 0.05, True))
    fd = locks.acquire(folder, f"ref {slot}", wait=wait)
    if fd is None:
        return 0
    witness.held(slot, me, _linger(rng))
    if rng.randrange(_UNLINK_SHARE) == 0:
        files.unlink(folder, f"ref {slot}")
    locks.release(fd)
    return 1


def _with_a_writer(store: contentdb.Store, witness: _Witness, me: int, rng: random.Random) -> int:
    slot = rng.randrange(_REFS)
    try:
        writer = store.writer(f"ref {slot}", wait=rng.choice((False, 0.05, True)))
    except contentdb.RefLockedError:
        return 0
    writer.write(b"x")
    witness.held(_REFS + slot, me, _linger(rng))
    end = rng.randrange(3)
    if end == 0:
        with suppress(contentdb.AlreadyExistsError):
            writer.commit()
    writer.close()
    return 1


def _process(
    root: Path, witness: _Witness, number: int, count: int, plan: Plan, until: float
) -> int:
    """Some threads that take locks."""
    got: list[int] = []

    def one(thread: int) -> None:
        me = 1 + number * _THREADS + thread
        got.append(_hold(root, witness, me, count // _THREADS, plan.seed, until))

    threads = [threading.Thread(target=one, args=(thread,)) for thread in range(_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(got) != _THREADS:
        raise AssertionError("a thread ended with an error")
    return sum(got)


def holdings(plan: Plan) -> Outcome:
    """Many processes and threads take few refs; no two may hold one at once."""
    witness = _Witness()
    with place("locks") as folder:
        contentdb.open(folder / "store").close()
        (folder / "locks").mkdir()
        count = (plan.limit or 1_000_000) // _PROCESSES
        works = [
            partial(_process, folder / "store", witness, number, count, plan, plan.deadline())
            for number in range(_PROCESSES)
        ]
        got = sum(crew(works))
    counted, double = witness.sums()
    found = [Violation(f"{plan.seed}", f"{double} times two holders of one ref")] if double else []
    if counted != got:
        found.append(Violation(f"{plan.seed}", f"{got} acquisitions, of which {counted} count"))
    notes = f"{_PROCESSES} processes of {_THREADS} threads, {_REFS} refs"
    return Outcome(got, found, notes)


# -- from a SIGKILL to the next holder -------------------------------------------------------------

_LIMIT_S: Final = 0.020


class _Handover(NamedTuple):
    """How long it took, and whether what the dead holder had written is there."""

    took_s: float
    offset: int


def _handover(root: Path, store: contentdb.Store, number: int) -> _Handover:
    """Kill a holder while somebody waits for its ref."""
    ref = f"ref {number}"
    reader, pipe = os.pipe()

    def hold() -> None:
        writer = contentdb.open(root, durability="process").writer(ref)
        writer.write(b"half")
        os.write(pipe, b"x")
        signal.pause()

    child = started(hold)
    os.close(pipe)
    os.read(reader, 1)
    os.close(reader)
    killed: list[float] = []

    def kill() -> None:
        time.sleep(0.002)  # until the other waits
        killed.append(time.perf_counter())
        os.kill(child, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with store.writer(ref, wait=True if number % 2 else 30.0, resume=True) as writer:
        took_s = time.perf_counter() - killed[0]
        offset = writer.offset
    killer.join()
    os.waitpid(child, 0)
    store.abort(ref)
    return _Handover(took_s, offset)


def _handed_over(folder: Path, count: int, deadline: float) -> list[_Handover]:
    done: list[_Handover] = []
    with contentdb.open(folder / "store", durability="process") as store:
        while len(done) < count and time.monotonic() < deadline:
            done.append(_handover(folder / "store", store, len(done)))
    return done


def handovers(plan: Plan) -> Outcome:
    """A holder is killed while another waits, who must have the ref within 20 ms (99 of 100)."""
    count = plan.limit or 1_000
    with place("handovers") as folder:
        # The store is measured, not what else the machine does.
        (done,) = crew([partial(_handed_over, folder, count, plan.deadline())], nice=-15)
    times = sorted(one.took_s for one in done)
    p50, p99 = times[len(times) // 2], times[min(len(times) - 1, len(times) * 99 // 100)]
    found = [
        Violation(f"{plan.seed}", "bytes of a killed holder are lost")
        for one in done
        if one.offset != len(b"half")
    ]
    if p99 > _LIMIT_S and count >= _FIT_FOR_A_P99:
        found.append(Violation(f"{plan.seed}", f"p99 is {p99 * 1000:.1f} ms"))
    notes = f"from SIGKILL to the next holder: p50 {p50 * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms"
    return Outcome(len(done), found, notes)


_FIT_FOR_A_P99: Final = 500
"""A few hand-overs on a busy machine say nothing of one in a hundred."""
