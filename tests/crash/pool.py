"""Worker processes that carry the shim, several side by side."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, Self

from tests.crash import shim
from tests.crash.suite import UnavailableError
from tests.crash.trees import scratch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Pool"]

_CHECKOUT: Final = Path(__file__).resolve().parents[2]

Job = dict[str, Any]


class _Worker:
    """One fork server and its private directory."""

    def __init__(self, program: str, mutant: str | None, library: Path | None = None) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="contentdb-crash-", dir=scratch()))
        environment = os.environ | {
            "CRASH_PLACE": str(self.place),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",  # a case is to be found again
            "TMPDIR": str(self.place / "outside"),
        }
        if library is not None:
            control = self.place / "control"
            shim.Control(control)  # makes the file
            environment |= {"CRASH_CONTROL": str(control), "LD_PRELOAD": str(library)}
        environment.pop("CRASH_MUTANT", None)
        if mutant is not None:
            environment["CRASH_MUTANT"] = mutant
        self.process = subprocess.Popen(
            [sys.executable, "-m", program],
            cwd=_CHECKOUT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, job: Job) -> Job:
        """Do one job; a worker that dies of it is the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(job) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise RuntimeError(f"the worker died of {job}, with status {self.process.wait()}")
        answer: Job = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process and remove what it left."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()
        shutil.rmtree(self.place, ignore_errors=True)


class Pool:
    """Some workers, each asked by a thread of its own.

    Args:
        count: How many.
        mutant: How their store is broken.
        program: The module that they run; without one it is that which carries the shim.
    """

    def __init__(
        self, count: int, *, mutant: str | None = None, program: str | None = None
    ) -> None:
        library = shim.build() if program is None else None
        if program is None and library is None:
            raise UnavailableError("needs gcc to build the shim; .ci/run installs it")
        program = program or "tests.crash.worker"
        self._workers = [_Worker(program, mutant, library) for _ in range(count)]
        self._free: SimpleQueue[_Worker] = SimpleQueue()
        for worker in self._workers:
            self._free.put(worker)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.close()

    def ask(self, job: Job) -> Job:
        """Do one job on a free worker."""
        worker = self._free.get()
        try:
            return worker.ask(job)
        finally:
            self._free.put(worker)

    def each(self, jobs: Iterable[Job], deadline: float) -> Iterator[tuple[Job, Job]]:
        """Do the jobs side by side, with their answers; none begins past the deadline."""

        left = threading.Event()

        def one(job: Job) -> tuple[Job, Job] | None:
            over = left.is_set() or time.monotonic() > deadline
            return None if over else (job, self.ask(job))

        with ThreadPoolExecutor(len(self._workers)) as threads:
            try:
                yield from (done for done in threads.map(one, jobs) if done is not None)
            finally:
                left.set()
