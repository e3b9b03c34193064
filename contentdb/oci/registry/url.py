"""URLs taken apart, with what is no http or https URL refused."""

from __future__ import annotations

import ipaddress
from typing import Final, NamedTuple
from urllib.parse import urlsplit

__all__ = ["Target", "is_loopback", "target_of"]

_PORTS: Final = {"http": 80, "https": 443}
_URL_CHARS: Final = 16 * 1024


class Target(NamedTuple):
    """A URL, taken apart: where to connect, and what to ask for there."""

    scheme: str
    host: str
    port: int
    path: str
    """Path and query."""

    @property
    def origin(self) -> tuple[str, str, int]:
        """What two URLs share when they lead to one server."""
        return self[:3]

    @property
    def place(self) -> str:
        """The origin as text, for messages: without path and query, which may hold secrets."""
        host = f"[{self.host}]" if ":" in self.host else self.host  # IPv6
        return f"{self.scheme}://{host}:{self.port}"


def target_of(url: str) -> Target:
    """Take a URL apart.

    Raises:
        ValueError: Not absolute http or https, with a user in it, or with control characters.
    """
    if len(url) > _URL_CHARS or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("it is not a URL")
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("it is not an http or https URL")
    if "@" in parts.netloc:
        raise ValueError("it has a user in it")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme], path)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its very name: localhost, or a loopback address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
