"""Chooses the manifest of an index for a platform."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from contentdb.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from contentdb.oci.documents.manifest import Descriptor

__all__ = ["Platform", "choose"]

_MACHINES: Final = {
    "x86_64": ("amd64", ""),
    "aarch64": ("arm64", "v8"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "i686": ("386", ""),
}
_NAMES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
_PARTS: Final = 3


class Platform(NamedTuple):
    """Operating system, architecture and variant, in Go's words: ``linux/arm64/v8``."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``OS/ARCHITECTURE[/VARIANT]``.

        Raises:
            InvalidArgumentError: The text has another form.
        """
        parts = text.lower().split("/")
        if len(parts) not in {2, _PARTS} or not all(parts):
            raise InvalidArgumentError(
                f"invalid platform {text[:80]!r}: write os/architecture, as in linux/amd64"
            )
        return cls(parts[0], _NAMES.get(parts[1], parts[1]), *parts[2:])

    @classmethod
    def here(cls) -> Self:
        """Return this machine's platform, with Linux as its system, since images contain Linux."""
        machine = platform.machine().lower()
        architecture, variant = _MACHINES.get(machine, (machine, ""))
        return cls("linux", architecture, variant)

    def __str__(self) -> str:
        """Return the text that `parse` accepts."""
        return "/".join(part for part in self if part)


def choose(manifests: Iterable[Descriptor], wanted: Platform) -> Descriptor | None:
    """Return the first manifest for a platform, preferring the exact variant; None if none fits."""
    fitting = [
        entry
        for entry in manifests
        if entry.platform.get("os") == wanted.os
        and entry.platform.get("architecture") == wanted.architecture
    ]
    exact = [e for e in fitting if e.platform.get("variant", "") == wanted.variant]
    return next(iter(exact or fitting), None)
