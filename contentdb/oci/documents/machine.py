"""Tells what this machine's processor is, in Go's words for architectures.

Images contain Linux, so the system is always ``linux``.
"""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import Final

__all__ = ["ALIASES", "architecture_here", "level_of"]

_CPUINFO: Final = Path("/proc/cpuinfo")
ALIASES: Final[dict[str, tuple[str, str | None]]] = {
    "x86_64": ("amd64", None),
    "x86-64": ("amd64", None),
    "aarch64": ("arm64", None),
    "loongarch64": ("loong64", None),
    "i386": ("386", ""),
    "i486": ("386", ""),
    "i586": ("386", ""),
    "i686": ("386", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "armv5": ("arm", "v5"),
    "armv6": ("arm", "v6"),
    "armv6l": ("arm", "v6"),
    "armv7": ("arm", "v7"),
    "armv7l": ("arm", "v7"),
    "armv8l": ("arm", "v8"),
}
"""Other names of an architecture, those of uname(2) among them, and the variant that a name stands
for, if for one. Any other name is Go's too, as ``riscv64`` and ``s390x``."""

_V2: Final = frozenset(["cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"])
_V3: Final = _V2 | frozenset(
    ["avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"]
)
_V4: Final = _V3 | frozenset(["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"])
_LEVELS: Final = (("v4", _V4), ("v3", _V3), ("v2", _V2))
"""What each level of x86-64 adds, by Linux's names of the flags.

Source: the x86-64 psABI, "Micro-Architecture Levels"; ``pni`` is SSE3 and ``abm`` has LZCNT.
"""


def architecture_here() -> tuple[str, str]:
    """Return this machine's architecture and variant; the variant of amd64 is its level."""
    machine = platform.machine().lower()
    if machine.startswith("armv5"):
        return "arm", "v5"
    if machine in {"mips", "mips64", "ppc64"} and sys.byteorder == "little":
        return machine + "le", ""
    architecture, variant = ALIASES.get(machine, (machine, None))
    if architecture == "amd64":
        variant = level_of(_flags())
    return architecture, variant or ""


def level_of(flags: frozenset[str]) -> str:
    """Return the level of x86-64 that flags of the processor amount to; empty for the first."""
    return next((name for name, needed in _LEVELS if needed <= flags), "")


def _flags() -> frozenset[str]:
    try:
        with _CPUINFO.open(encoding="ascii", errors="replace") as lines:
            found = next((line for line in lines if line.startswith("flags")), "")
    except OSError:
        return frozenset()
    return frozenset(found.partition(":")[2].split())
