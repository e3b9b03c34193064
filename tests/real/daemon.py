"""A containerd of the tests' own: private root, state and socket, none of the machine's."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Outcome", "containerd", "ctr"]

LIMIT_S = 60.0

_CONFIG = """
version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = [{disabled}]
[grpc]
  address = "{folder}/containerd.sock"
[ttrpc]
  address = "{folder}/ttrpc.sock"
[plugins."io.containerd.gc.v1.scheduler"]
  startup_delay = "24h"  # the collector would take away what no image holds, at any moment
  mutation_threshold = 0
  deletion_threshold = 0
{more}
"""
_NEEDLESS = (
    "io.containerd.grpc.v1.cri",
    "io.containerd.internal.v1.opt",
    "io.containerd.internal.v1.restart",
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.overlayfs",
    "io.containerd.snapshotter.v1.zfs",
)


class Outcome(NamedTuple):
    """How a program ended."""

    code: int
    out: bytes
    err: bytes


def ctr(
    address: Path, *arguments: str, stdin: bytes = b"", namespace: str = "test", **more: str
) -> Outcome:
    """Run ctr to its end; ``more`` is added to its environment."""
    done = subprocess.run(
        ["ctr", "--address", str(address), "--namespace", namespace, *arguments],
        input=stdin,
        capture_output=True,
        check=False,
        timeout=LIMIT_S,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", **more},
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


@contextmanager
def containerd(folder: Path, *, content: Path | None = None) -> Iterator[Path]:
    """Run a daemon and give its socket; ``content`` is a content service to use for its own."""
    folder.mkdir(mode=0o700)
    needless, more = [*_NEEDLESS], ""
    if content is not None:
        needless.append("io.containerd.content.v1.content")
        more = f'[proxy_plugins.contentdb]\n  type = "content"\n  address = "{content}"\n'
    disabled = ", ".join(f'"{name}"' for name in needless)
    config = folder / "config.toml"
    config.write_text(_CONFIG.format(folder=folder, disabled=disabled, more=more))
    address = folder / "containerd.sock"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(["containerd", "--config", config], stdout=log, stderr=log)
    try:
        _await(address, process, folder / "log")
        yield address
    finally:
        process.terminate()
        process.wait(LIMIT_S)


def _await(address: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    """Ask until it answers: `ctr` itself waits for a socket that is not there yet."""
    while ctr(address, "version").code:
        if process.poll() is not None:
            raise RuntimeError(f"containerd ended with {process.returncode}: {log.read_text()}")
