"""Threads that run one at a time and change over only where a schedule says.

Each actor stops before each call of the seam, `contentdb.files`, and before each look into the
index. There a schedule decides who goes on. Between two stops an actor is alone, so a run is
repeated by its schedule alone.
"""

from __future__ import annotations

import functools
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from contentdb import files
from contentdb.local import locks
from contentdb.local.blobs import Shards
from contentdb.local.index.index import Index
from contentdb.local.info_cache import Known

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["DeadlockError", "Stepper", "Switch", "seam", "undisturbed", "wait_for_others"]

Switch = tuple[int, int]
"""Before that step, that actor goes on."""

_FILES: Final = (
    "entries", "link", "link_unnamed", "lock", "lock_shared", "open_file", "read_at", "rename",
    "stat_name", "sync_data", "unlink", "write_at",
)  # fmt: skip
"""What of the seam sees or changes what others see: names, locks, and records."""

_INDEX: Final = (
    "blob", "claims", "due", "ingest", "ingest_of", "ingests", "find_ingests_named", "in_pack",
    "is_in_place", "judge", "keeps", "lease_row", "places", "recorded", "rows_between",
    "tombstones", "who_needs",
)  # fmt: skip
"""Looks into the index. What writes to it stops at the lock."""

_QUEUES_S: Final = 1.0
"""Whoever would wait for a lock as long as this queues; else it is a mere try."""


class DeadlockError(Exception):
    """Every actor waits for a lock."""


class Stepper:
    """One run of some actors by one schedule."""

    def __init__(self, switches: Sequence[Switch], watch: Callable[[], None]) -> None:
        """``watch`` is called at every stop, and may raise."""
        self.steps = 0
        self._switches = dict(switches)
        self._watch = watch
        self._gates: list[threading.Semaphore] = []
        self._numbers: dict[int, int] = {}
        self._left: list[int] = []
        self._blocked: set[int] = set()
        self._ended = threading.Semaphore(0)
        self._failure: BaseException | None = None

    def run(self, actors: Sequence[Callable[[], None]]) -> None:
        """Run all actors to their end; raises what the watch raised, or `DeadlockError`."""
        self._gates = [threading.Semaphore(0) for _ in actors]
        self._left = list(range(len(actors)))
        threads = [
            threading.Thread(target=self._act, args=(number, actor), daemon=True)
            for number, actor in enumerate(actors)
        ]
        for thread in threads:
            thread.start()
        self._gates[self._next(0)].release()
        self._ended.acquire()
        for thread in threads:
            thread.join()
        if self._failure is not None:
            raise self._failure

    def _act(self, number: int, actor: Callable[[], None]) -> None:
        self._gates[number].acquire()
        self._numbers[threading.get_ident()] = number
        try:
            _running.stepper = self
            actor()
        except BaseException as error:  # noqa: BLE001 - raised where the run was asked for
            self._failure = self._failure or error
        finally:
            del self._numbers[threading.get_ident()]
            self._left.remove(number)
            self._blocked.clear()
            if self._left:
                self._gates[self._next(self._left[0])].release()
            else:
                self._ended.release()

    def _next(self, current: int) -> int:
        chosen = self._switches.get(self.steps, current)
        return chosen if chosen in self._left and chosen not in self._blocked else current

    def pause(self, *, blocked: bool = False) -> None:
        """Let the schedule decide who goes on."""
        me = self._numbers[threading.get_ident()]
        if self._failure is None:
            try:
                self._watch()
            except AssertionError as error:
                self._failure = error
        self.steps += 1
        if blocked:
            self._blocked.add(me)
            free = [number for number in self._left if number not in self._blocked]
            if not free:
                self._failure = self._failure or DeadlockError()
                raise DeadlockError
            following = self._next(free[0])
        else:
            self._blocked.clear()
            following = self._next(me)
        if following != me:
            self._gates[following].release()
            self._gates[me].acquire()


class _Running(threading.local):
    stepper: Stepper | None = None
    quiet = False
    """Inside a step that takes a real lock of the process."""


_running = _Running()


def wait_for_others() -> None:
    """Let others go on until one of them has done a step, as a call does that waits for them."""
    if _running.stepper is not None:
        _running.stepper.pause(blocked=True)


def _stopping(call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    def stop_first(*args: Any, **options: Any) -> Any:  # noqa: ANN401 - passed through
        if _running.stepper is not None and not _running.quiet:
            _running.stepper.pause()
        return call(*args, **options)

    return stop_first


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let what this thread does in the block be no step of a run."""
    stepper, _running.stepper = _running.stepper, None
    try:
        yield
    finally:
        _running.stepper = stepper


def _in_one_step(call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    def stop_first_only(*args: Any, **options: Any) -> Any:  # noqa: ANN401 - passed through
        if _running.stepper is not None:
            _running.stepper.pause()
        _running.quiet = True
        try:
            return call(*args, **options)
        finally:
            _running.quiet = False

    return stop_first_only


def _queueing(lock: Callable[..., bool]) -> Callable[..., bool]:
    @functools.wraps(lock)
    def try_and_stop(fd: int, path: str, *, wait: float | bool = False) -> bool:
        stepper = _running.stepper
        if stepper is None:
            return lock(fd, path, wait=wait)
        queues = wait is True or wait >= _QUEUES_S
        stepper.pause()
        while not lock(fd, path):
            if not queues:
                return False
            stepper.pause(blocked=True)
        return True

    return try_and_stop


@contextmanager
def seam() -> Iterator[None]:
    """Make the actors of steppers stop; all other threads go on as ever."""
    places: list[tuple[Any, str, Callable[..., Any]]] = [
        (files, name, _queueing if name == "lock" else _stopping) for name in _FILES
    ]
    places += [(Index, name, _stopping) for name in _INDEX]
    places += [(Shards, "stamp", _stopping), (Known, "put", _stopping)]
    places.append((locks, "_open", _in_one_step))  # under a lock of the process
    kept = [(holder, name, getattr(holder, name)) for holder, name, _ in places]
    try:
        for (holder, name, call), (_, _, stopping) in zip(kept, places, strict=True):
            setattr(holder, name, stopping(call))
        yield
    finally:
        for holder, name, call in kept:
            setattr(holder, name, call)
