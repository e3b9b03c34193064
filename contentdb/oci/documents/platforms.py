"""Platforms of images: their names, and which of them a machine can run.

Names and order are containerd's: see ``compare.go`` and ``database.go`` of
https://github.com/containerd/platforms, and the properties of ``platform`` in the image-spec's
image-index.md.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from contentdb.errors import InvalidArgumentError
from contentdb.oci.documents.machine import ALIASES, architecture_here

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Platform"]

_UNNAMED: Final = {"amd64": "v1", "arm64": "v8"}
"""The variant that goes without saying; that of arm, v7, is always said."""
_ARCHITECTURES: Final = frozenset(
    [
        "386",
        "amd64",
        "arm",
        "arm64",
        "loong64",
        "mips",
        "mipsle",
        "mips64",
        "mips64le",
        "ppc64",
        "ppc64le",
        "riscv64",
        "s390x",
        "wasm",
    ]
)
_SYSTEMS: Final = frozenset(
    [
        "aix",
        "android",
        "darwin",
        "dragonfly",
        "freebsd",
        "illumos",
        "ios",
        "linux",
        "netbsd",
        "openbsd",
        "plan9",
        "solaris",
        "wasip1",
        "windows",
    ]
)
_NAME: Final = re.compile(r"[a-z0-9_.-]{1,60}")
_PARTS: Final = 3


class Platform(NamedTuple):
    """Operating system, architecture and variant, in Go's words: ``linux/arm64/v8``."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``OS/ARCHITECTURE[/VARIANT]``; an architecture without a system means Linux.

        Other names of an architecture are taken too: ``x86_64``, ``aarch64``, ``armhf``, ``i386``.
        A system alone means this machine's architecture.

        Raises:
            InvalidArgumentError: The text has another form.
        """
        parts = text.lower().split("/")
        if len(parts) == 1 and parts[0] in _SYSTEMS:
            return cls(parts[0], *architecture_here())
        if len(parts) < _PARTS and {parts[0], ALIASES.get(parts[0], ("",))[0]} & _ARCHITECTURES:
            parts.insert(0, "linux")
        if len(parts) not in {2, _PARTS} or not all(map(_NAME.fullmatch, parts)):
            raise InvalidArgumentError(
                f"invalid platform {text[:80]!r}: write os/architecture, as in linux/amd64"
            )
        return cls(*parts).normal()

    @classmethod
    def here(cls) -> Self:
        """Return this machine's platform, with Linux as its system, since images contain Linux.

        The variant of amd64 is the level of x86-64 that the processor has.
        """
        return cls("linux", *architecture_here())

    @classmethod
    def of(cls, raw: Mapping[str, str]) -> Self | None:
        """Return the platform in a descriptor, or None if it has none."""
        if not raw:
            return None
        names = (raw.get("os", ""), raw.get("architecture", ""), raw.get("variant", ""))
        return cls(*names).normal()

    def normal(self) -> Self:
        """Return the platform with Go's names and containerd's use of variants."""
        system = "darwin" if self.os.lower() == "macos" else self.os.lower()
        architecture, variant = self.architecture.lower(), self.variant.lower()
        architecture, meant = ALIASES.get(architecture, (architecture, None))
        if meant is not None:
            variant = meant
        if architecture == "arm":
            variant = variant or "v7"
        if architecture in {"amd64", "arm", "arm64"} and variant[:1].isdecimal():
            variant = "v" + variant
        if variant == _UNNAMED.get(architecture):
            variant = ""
        return self._replace(os=system, architecture=architecture, variant=variant)

    def runs(self) -> Iterator[Self]:
        """Yield the platforms whose images a machine of this one can run, the best first.

        An amd64 runs lower levels and 386; an arm64 lower versions and 32-bit arm; an arm lower
        versions down to v5.
        """
        mine = self.normal()
        yield mine
        if mine.architecture == "amd64":
            for level in range(_number(mine.variant) - 1, 0, -1):
                yield mine._replace(variant=f"v{level}").normal()
            yield mine._replace(architecture="386", variant="")
        elif mine.architecture == "arm":
            for version in range(_number(mine.variant) - 1, 4, -1):
                yield mine._replace(variant=f"v{version}").normal()
        elif mine.architecture == "arm64":
            for variant in _lower_arm64(mine.variant):
                yield mine._replace(variant=variant).normal()
            yield from mine._replace(architecture="arm", variant="v8").runs()

    def __str__(self) -> str:
        """Return the text that `parse` accepts."""
        return "/".join(part for part in self if part)


def _number(variant: str) -> int:
    """Return the number in a variant such as ``v3``; 0 if it has none of a single digit."""
    digits = variant.removeprefix("v")
    return int(digits) if len(digits) == 1 and digits in "123456789" else 0


def _lower_arm64(variant: str) -> Iterator[str]:
    """Yield what an arm64 of a variant runs too: v9.n has all of v9 below it and of v8.(n+5)."""
    major, _, minor = (variant or "v8").partition(".")
    lower = _number("v" + minor)
    if major == "v9":
        for number in range(lower - 1, -1, -1):
            yield f"v9.{number}" if number else "v9"
        lower += 6  # v8.(n+5) itself is below v9.n
    elif major != "v8":
        return
    for number in range(lower - 1, -1, -1):
        yield f"v8.{number}" if number else "v8"
