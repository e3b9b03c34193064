"""Where to listen: what gRPC would guess at is taken apart here, or refused."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final, NamedTuple, Self
from urllib.parse import quote

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Address", "unix_target"]

_FORM: Final = re.compile(r"(?:\[(?P<six>[^][/\s]+)\]|(?P<host>[^][:/\s]+)):(?P<port>[0-9]{1,9})")
_LAST_PORT: Final = 65535


class Address(NamedTuple):
    """A host and a port. gRPC takes port 70000 for 4464, and none for 443."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``HOST:PORT``, where an IPv6 address stands in brackets; else `ValueError`."""
        found = _FORM.fullmatch(text)
        if found is None:
            raise ValueError("it must have the form HOST:PORT, or [IPV6]:PORT")
        port = int(found["port"])
        if port > _LAST_PORT:
            raise ValueError(f"a port is 0 to {_LAST_PORT}, not {port}")
        return cls(found["six"] or found["host"], port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def unix_target(path: str | Path) -> str:
    """Name a socket as gRPC understands it, which takes ``%41`` in a path for ``A``."""
    return f"unix:{quote(os.fsencode(path))}"
