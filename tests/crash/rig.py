"""A filesystem on a loop device on a `fusedisk`: every block write passes through our hands."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.crash import disks
from tests.crash.scenarios import SCENARIOS
from tests.crash.suite import UnavailableError
from tests.crash.worker import in_child

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CHECKOUT", "keep_writes_whole", "on_fuse", "prepared_image", "require"]

_REQUEST_KIB: Final = "64"
"""Half of what a `fusedisk` takes at once: a request may begin within a page."""

CHECKOUT: Final = Path(__file__).resolve().parents[2]


def require(*programs: str) -> None:
    """Say what is missing.

    Raises:
        UnavailableError: As for `disks.require`, and without FUSE in the kernel.
    """
    disks.require(*programs)
    if not os.access("/dev/fuse", os.W_OK):
        raise UnavailableError("needs FUSE in the kernel")


@contextlib.contextmanager
def on_fuse(image: Path, place: Path) -> Iterator[Path]:
    """Serve an image from a `fusedisk` in the folder ``fuse`` of a place; its log is ``log``."""
    at = place / "fuse"
    at.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "tests.crash.fusedisk"]
    command += [str(at), str(image), str(place / "log")]
    server = subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        if server.stdout.readline() != "mounted\n":
            raise UnavailableError("FUSE cannot be mounted here")
        try:
            yield at
        finally:
            disks.unmount(at)
    finally:
        server.stdout.close()
        if server.poll() is None:
            server.terminate()
        server.wait()


def keep_writes_whole(device: str) -> None:
    """Let each request of a loop device be one write of its file, which fails or succeeds.

    Of one that is split, Linux 6.18 takes the first part's success for the whole: a device that
    lies about its errors, which no store can help.
    """
    Path("/sys/block", Path(device).name, "queue", "max_sectors_kb").write_text(_REQUEST_KIB)


def prepared_image(image: Path, filesystem: str, scenario: str, at: Path) -> list[str]:
    """Make a filesystem with the store that a scenario meets; what it has promised."""
    disks.make(image, filesystem)
    with disks.attached(image) as device, disks.mounted(device, at, filesystem) as mount:
        root = mount / "store"
        root.mkdir()
        _, said = in_child(lambda ledger: SCENARIOS[scenario].prepare(root, ledger))
        os.sync()
    disks.thin(image)
    if any(line.startswith("failed") for line in said):
        raise RuntimeError(f"cannot prepare {scenario}: {said[-1]}")
    return said
