"""The filesystem of a path: locks on a network filesystem cannot be trusted."""

from __future__ import annotations

import os

from contentdb.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Final

__all__ = ["is_network", "is_read_only", "kind_of"]

_NETWORK: Final = {"9p", "afs", "ceph", "cifs", "fuse.sshfs", "nfs", "nfs4", "smb3"}


def is_network(kind: str | None) -> bool:
    """Return whether a filesystem of that kind keeps its files on another machine."""
    return kind in _NETWORK


def kind_of(place: str | Path) -> str | None:
    """Return the kind of filesystem, as in proc_pid_mountinfo(5); None if it is unknown."""
    found = _find_mount(place)
    return found[0] if found else None


def is_read_only(place: Path) -> bool:
    """Return whether the filesystem itself is read-only, not only this mount of it."""
    found = _find_mount(place)
    return "ro" in found[-1].split(",") if found else False


def _find_mount(place: str | Path) -> list[str]:
    """Return kind, source and options of the filesystem of a path; empty if unknown."""
    try:
        device = os.stat(place).st_dev  # noqa: PTH116 - text, or a path
        wanted = f"{os.major(device)}:{os.minor(device)}"
        with open("/proc/self/mountinfo", errors="replace") as file:  # noqa: PTH123 - pathlib is slow to import
            lines = file.read().splitlines()
        for text in lines:
            before, _, after = text.partition(" - ")
            if before.split()[2] == wanted:
                return after.split()
    except OSError:
        pass
    return []
