"""The commands, from a shell's point of view: one process for each operation."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from benchmarks.floors import sync_all
from benchmarks.material import objects
from benchmarks.measure import Job, Sample, of_latencies, timed

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["cli_ingest", "cli_path"]

_PROGRAM = [sys.executable, "-c", "from contentdb.cli import main; main()"]
"""As the installed script does it, whichever contentdb is on the path."""


def _run(words: list[str]) -> str:
    environment = {**os.environ, "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.fsync",
                   "GIT_CONFIG_VALUE_0": "loose-object"}  # fmt: skip
    # An installed command finds its modules compiled, which this would have it do every time.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(words, check=True, capture_output=True, text=True, env=environment)
    return done.stdout


def _files(job: Job) -> list[Path]:
    job.directory.mkdir(parents=True)
    paths = []
    for number, data in enumerate(objects(job.case.times + 1, job.case.size)):
        path = job.directory / f"source-{number}"
        path.write_bytes(data)
        paths.append(path)
    return paths


def _ingest(job: Job, path: Path) -> list[str]:
    if job.case.subject == "contentdb CLI":
        return [*_PROGRAM, "--root", str(job.directory / "store"), "ingest", str(path)]
    if job.case.subject == "git CLI":
        return ["git", "-C", str(job.directory), "hash-object", "-w", str(path)]
    return [sys.executable, "-c", "pass"]


def _path(job: Job, key: str) -> list[str]:
    if job.case.subject == "contentdb CLI":
        return [*_PROGRAM, "--root", str(job.directory / "store"), "path", key]
    if job.case.subject == "git CLI":
        return ["git", "-C", str(job.directory), "cat-file", "-e", key]
    return [sys.executable, "-c", "pass"]


def _prepare(job: Job) -> tuple[list[Path], str]:
    files = _files(job)
    if job.case.subject == "git CLI":
        _run(["git", "init", "-q", "--object-format=sha256", str(job.directory)])
    words = _run(_ingest(job, files.pop())).split()
    sync_all(job.directory)
    known = [word for word in words if word.startswith("sha256:")]
    return files, (known or words or [""])[0]


def cli_ingest(job: Job) -> Sample:
    """Take a small file in."""
    files, _ = _prepare(job)
    return of_latencies(timed(lambda path: _run(_ingest(job, path)), files), job.case.size)  # type: ignore[arg-type]


def cli_path(job: Job) -> Sample:
    """Ask where a blob is."""
    files, key = _prepare(job)
    return of_latencies(timed(lambda _: _run(_path(job, key)), files), 0)
