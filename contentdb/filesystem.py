"""Which filesystem a path is on: those over a network are not to be trusted with locks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

__all__ = ["is_network", "kind_of"]

_NETWORK: Final = {"9p", "afs", "ceph", "cifs", "fuse.sshfs", "nfs", "nfs4", "smb3"}


def is_network(kind: str | None) -> bool:
    """Whether a filesystem of that kind keeps its files on another machine."""
    return kind in _NETWORK


def kind_of(place: Path) -> str | None:
    """Name the kind of filesystem, as in proc_pid_mountinfo(5); None where that is not known."""
    try:
        device = place.stat().st_dev
        wanted = f"{os.major(device)}:{os.minor(device)}"
        for text in Path("/proc/self/mountinfo").read_text(errors="replace").splitlines():
            before, _, after = text.partition(" - ")
            if before.split()[2] == wanted:
                return after.split()[0]
    except OSError:
        pass
    return None
