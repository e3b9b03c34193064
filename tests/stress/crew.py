"""Work in processes of its own: forked, so that they begin in a millisecond."""

from __future__ import annotations

import os
import pickle
import signal
import tempfile
import traceback
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Final, TypeVar

from tests.crash.trees import scratch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["CrewError", "crew", "place", "started"]

T = TypeVar("T")

_LONGEST_S: Final = 7_200


class CrewError(Exception):
    """A process ended without an answer; the message is its traceback, or its status."""


def started(work: Callable[[], object], *, within_s: int = 60) -> int:
    """Begin work in a forked child, which ends without cleaning up; its number.

    It is killed by an alarm if it takes too long.
    """
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(within_s)
            work()
            status = 0
        except BaseException:  # noqa: BLE001 - nothing may get past the fork
            traceback.print_exc()
        finally:
            os._exit(status)
    return child


def crew(works: Sequence[Callable[[], T]], *, nice: int = 0) -> list[T]:
    """Do each work in a process of its own, side by side; what they return, in order.

    A negative ``nice`` puts them before other processes, if the user may.
    """
    readers = []
    children = []
    for work in works:
        reader, writer = os.pipe()
        readers.append(reader)
        children.append(started(partial(_answer, work, writer, nice), within_s=_LONGEST_S))
        os.close(writer)
    answers = [_all_of(reader) for reader in readers]
    statuses = [os.waitpid(child, 0)[1] for child in children]
    results: list[T] = []
    for answer, status in zip(answers, statuses, strict=True):
        if not answer:
            raise CrewError(f"a process ended with status {status}")
        failed, value = pickle.loads(answer)  # noqa: S301 - from our own child
        if failed:
            raise CrewError(value)
        results.append(value)
    return results


def _answer(work: Callable[[], object], writer: int, nice: int) -> None:
    with suppress(PermissionError):
        os.nice(nice)
    try:
        answer = (False, work())
    except BaseException:  # noqa: BLE001 - told in the parent
        answer = (True, traceback.format_exc())
    left = memoryview(pickle.dumps(answer))
    while left:
        left = left[os.write(writer, left) :]


def _all_of(reader: int) -> bytes:
    with open(reader, "rb") as pipe:
        return pipe.read()


@contextmanager
def place(name: str) -> Iterator[Path]:
    """A directory for one suite, removed in the end."""
    folder = Path(tempfile.mkdtemp(prefix=f"contentdb-{name}-", dir=scratch()))
    try:
        yield folder
    finally:
        rmtree(folder, ignore_errors=True)
