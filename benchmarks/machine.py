"""The machine and the versions that the figures belong to."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["describe"]

_PACKAGES = ("contentdb", "SQLAlchemy", "disk_objectstore", "diskcache", "hashfs")


def describe(scratch: Path) -> dict[str, str]:
    """Say what runs here; ``scratch`` tells the filesystem."""
    found = {
        "cpu": _cpu(),
        "cores": str(os.cpu_count()),
        "memory": f"{_memory_bytes() / (1 << 30):.0f} GiB",
        "filesystem": _filesystem(scratch),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
    }
    for name in _PACKAGES:
        try:
            found[name.lower()] = version(name)
        except PackageNotFoundError:
            found[name.lower()] = "missing"
    found["git"] = _git()
    return found


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _filesystem(path: Path) -> str:
    """The type and options of the mount that holds the path, from the longest match."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text("utf-8").splitlines()]
    resolved = path.resolve()
    holding = [mount for mount in mounts if resolved.is_relative_to(mount[1])]
    _, _, kind, options, *_ = max(holding, key=lambda mount: len(mount[1]))
    return f"{kind} ({options.split(',', 1)[0]})"


def _git() -> str:
    if not shutil.which("git"):
        return "missing"
    done = subprocess.run(["git", "--version"], check=True, capture_output=True, text=True)
    return done.stdout.split()[-1]
