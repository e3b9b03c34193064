"""Addresses to listen on or connect to: parsed and checked here, since gRPC guesses."""

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
    """A host and a port. gRPC would read port 70000 as 4464, and a missing port as 443."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``HOST:PORT``, an IPv6 address in brackets; raise `ValueError` for other forms."""
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
    """Return a socket's name for gRPC, percent-encoded: gRPC decodes ``%41`` in a path to ``A``."""
    return f"unix:{quote(os.fsencode(path))}"
