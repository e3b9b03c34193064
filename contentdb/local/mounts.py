"""Which filesystem a path is on: those over a network are not to be trusted with locks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

__all__ = ["is_network", "is_read_only", "kind_of"]

_NETWORK: Final = {"9p", "afs", "ceph", "cifs", "fuse.sshfs", "nfs", "nfs4", "smb3"}


def is_network(kind: str | None) -> bool:
    """Whether a filesystem of that kind keeps its files on another machine."""
    return kind in _NETWORK


def kind_of(place: Path) -> str | None:
    """Name the kind of filesystem, as in proc_pid_mountinfo(5); None where that is not known."""
    found = _mounted(place)
    return found[0] if found else None


def is_read_only(place: Path) -> bool:
    """Whether the filesystem itself is mounted read-only, not just seen so from here."""
    found = _mounted(place)
    return "ro" in found[-1].split(",") if found else False


def _mounted(place: Path) -> list[str]:
    """Kind, source and options of the filesystem of a path; nothing where that is not known."""
    try:
        device = place.stat().st_dev
        wanted = f"{os.major(device)}:{os.minor(device)}"
        for text in Path("/proc/self/mountinfo").read_text(errors="replace").splitlines():
            before, _, after = text.partition(" - ")
            if before.split()[2] == wanted:
                return after.split()
    except OSError:
        pass
    return []
