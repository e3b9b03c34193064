"""Parses http and https URLs, and refuses all others."""

from __future__ import annotations

import ipaddress
import socket
from typing import Final, NamedTuple
from urllib.parse import urlsplit

__all__ = ["Target", "is_loopback", "target_of"]

_PORTS: Final = {"http": 80, "https": 443}
_URL_CHARS: Final = 16 * 1024


class Target(NamedTuple):
    """A parsed URL: the server to connect to, and the path to request."""

    scheme: str
    host: str
    port: int
    path: str
    """Path and query."""

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port: equal for two URLs of one server."""
        return self[:3]

    @property
    def place(self) -> str:
        """The origin as text for messages, without path and query, which may contain secrets."""
        host = f"[{self.host}]" if ":" in self.host else self.host  # IPv6
        return f"{self.scheme}://{host}:{self.port}"


def target_of(url: str) -> Target:
    """Parse a URL.

    Raises:
        ValueError: It is not an absolute http or https URL, or has a user or control characters.
    """
    if len(url) > _URL_CHARS or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("it is not a URL")
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("it is not an http or https URL")
    if "@" in parts.netloc:
        raise ValueError("it has a user in it")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    port = _PORTS[parts.scheme] if parts.port is None else parts.port
    return Target(parts.scheme, parts.hostname, port, path)


def is_loopback(host: str) -> bool:
    """Return whether a host is ``localhost`` or this machine's own address, without resolving it.

    It knows the ways to write one that the system's resolver takes, such as ``127.1``.
    """
    name = host.strip("[]").rstrip(".")
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        try:
            address = ipaddress.ip_address(socket.inet_aton(name))
        except OSError:
            return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback or address.is_unspecified
