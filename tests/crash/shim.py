"""The LD_PRELOAD shim of `shim.c`: building it from source, and steering it from Python."""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import Final, NamedTuple, Self

__all__ = ["ALL_CALLS", "CHANGING_CALLS", "INTERRUPTIBLE_CALLS", "Call", "Control", "Mode", "build"]

_SOURCE: Final = Path(__file__).with_name("shim.c")


class Mode:
    """What happens at the chosen call."""

    COUNT = 0
    KILL = 1
    FAIL = 2
    TEAR = 3
    """Half a write, then SIGKILL."""
    SHORTEN = 4
    """Half a write, reported as such."""


_KINDS: Final = (
    "open", "write", "sync", "rename", "link", "unlink", "mkdir", "chmod", "truncate", "read",
    "close", "allocate", "stat", "lock", "copy",
)  # fmt: skip
_BITS: Final = {kind: 1 << place for place, kind in enumerate(_KINDS)}


def _mask(*kinds: str) -> int:
    return sum(_BITS[kind] for kind in kinds)


ALL_CALLS: Final = _mask(*_KINDS)
CHANGING_CALLS: Final = ALL_CALLS - _mask("read", "stat", "close")
INTERRUPTIBLE_CALLS: Final = _mask("open", "write", "sync", "read", "truncate", "lock")
"""Those that may fail with EINTR."""

# struct control of shim.c: armed, count, log_end, target, mode, error, lasting, mask; root; log.
_NUMBERS: Final = ("armed", "count", "log_end", "target", "mode", "error", "lasting", "mask")
_ROOT_AT: Final = 8 * len(_NUMBERS)
_LOG_AT: Final = _ROOT_AT + 256
_BYTES: Final = _LOG_AT + (1 << 20)


class Call(NamedTuple):
    """One file call below the root, as the shim saw it."""

    number: int
    name: str
    path: str


class Control:
    """The mapping that the shim reads. It outlives forks: a child is steered by its parent."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("a+b") as file:
            file.truncate(_BYTES)
            self._map = mmap.mmap(file.fileno(), _BYTES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._map.close()

    def aim(
        self,
        root: Path,
        *,
        mode: int = Mode.COUNT,
        target: int = -1,
        error: int = 0,
        lasting: bool = False,
        mask: int = ALL_CALLS,
    ) -> None:
        """Get ready, disarmed, for calls below ``root``."""
        encoded = os.fsencode(root)
        self._map[_ROOT_AT:_LOG_AT] = encoded.ljust(_LOG_AT - _ROOT_AT, b"\0")
        values = (0, 0, 0, target, mode, error, int(lasting), mask)
        self._map[:_ROOT_AT] = struct.pack(f"{len(_NUMBERS)}q", *values)

    def arm(self, *, on: bool = True) -> None:
        """Count from now on, or stop counting."""
        self._map[:8] = struct.pack("q", on)

    @property
    def count(self) -> int:
        """How many calls there were since `aim`."""
        return int(struct.unpack_from("q", self._map, 8)[0])

    @property
    def calls(self) -> list[Call]:
        """The calls since `aim` if the mode is COUNT, else the one that was chosen."""
        (end,) = struct.unpack_from("q", self._map, 16)
        text = self._map[_LOG_AT : _LOG_AT + min(end, _BYTES - _LOG_AT)].decode(errors="replace")
        found = (line.split(" ") for line in text.splitlines() if line.count(" ") >= 3)
        return [Call(int(parts[0]), parts[1], parts[2]) for parts in found]


def build(folder: Path | None = None) -> Path | None:
    """Compile the shim, once for each state of its source; None without a compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return None
    place = folder or Path(tempfile.gettempdir())
    stamp = _SOURCE.stat().st_mtime_ns
    library = place / f"contentdb-crash-shim-{os.getuid()}-{stamp:x}.so"
    if not library.exists():
        made = library.with_suffix(f".{os.getpid()}")
        command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(made), str(_SOURCE), "-ldl"]
        subprocess.run(command, check=True)
        made.replace(library)
    return library
