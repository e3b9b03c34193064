"""The commands, from a shell's point of view: one process for each operation, by its CPU time.

Wall time would tell of the other processes of the machine, and of the disk.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.floors import sync_all
from benchmarks.material import objects
from benchmarks.measure import Job, Sample, of_latencies

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["COMMANDS", "run"]

_PROGRAM = [sys.executable, "-c", "from contentdb.cli import main; main()"]
"""As the installed script does it, whichever contentdb is on the path."""

_WORDS: Final[dict[str, Callable[[Path, str], list[str]]]] = {
    "cli_path": lambda _file, key: ["path", key],
    "cli_cat": lambda _file, key: ["cat", key],
    "cli_info": lambda _file, key: ["info", key],
    "cli_ingest": lambda file, _key: ["ingest", file.name],
    "cli_add": lambda file, _key: ["add", str(file)],
    "cli_active": lambda _file, _key: ["active"],
    "cli_ls": lambda _file, _key: ["ls"],
}
_GIT_WORDS: Final[dict[str, Callable[[Path, str], list[str]]]] = {
    "cli_path": lambda _file, key: ["cat-file", "-e", key],
    "cli_cat": lambda _file, key: ["cat-file", "blob", key],
    "cli_add": lambda file, _key: ["hash-object", "-w", str(file)],
}


def _run(words: list[str], file: Path) -> str:
    environment = {**os.environ, "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.fsync",
                   "GIT_CONFIG_VALUE_0": "loose-object"}  # fmt: skip
    # An installed command finds its modules compiled, which this would have it do every time.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    with file.open("rb") as given:
        done = subprocess.run(words, check=True, capture_output=True, env=environment, stdin=given)
    return done.stdout.decode(errors="replace")


def run(words: list[str]) -> None:
    """Run ``contentdb`` with these words."""
    _run([*_PROGRAM, *words], Path(os.devnull))


def _files(job: Job) -> list[Path]:
    job.directory.mkdir(parents=True)
    paths = []
    for number, data in enumerate(objects(job.case.times + 1, job.case.size)):
        path = job.directory / f"source-{number}"
        path.write_bytes(data)
        paths.append(path)
    return paths


def _words(job: Job, workload: str, file: Path, key: str) -> list[str]:
    if job.case.subject == "contentdb CLI":
        words = _WORDS[workload](file, key)
        return [*_PROGRAM, "--root", str(job.directory / "store"), *words]
    if job.case.subject == "git CLI":
        return ["git", "-C", str(job.directory), *_GIT_WORDS[workload](file, key)]
    return [sys.executable, "-c", "pass"]


def _command(workload: str, job: Job) -> Sample:
    """Run one command for each file, in a store that has one blob before."""
    files = _files(job)
    if job.case.subject == "git CLI":
        git = ["git", "init", "-q", "--object-format=sha256", str(job.directory)]
        _run(git, files[0])
    first = files.pop()
    said = _run(_words(job, "cli_add", first, ""), first).split()
    sync_all(job.directory)
    key = next((word for word in said if word.startswith("sha256:")), (said or [""])[0])
    taken = []
    for file in files:
        before = _cpu_ns()
        _run(_words(job, workload, file, key), file)
        taken.append(_cpu_ns() - before)
    return of_latencies(taken, 0)


def _cpu_ns() -> int:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return round((used.ru_utime + used.ru_stime) * 1e9)


COMMANDS: Final[dict[str, Callable[[Job], Sample]]] = {
    workload: partial(_command, workload) for workload in _WORDS
}
