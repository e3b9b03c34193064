"""HTTP proxies: which one a request takes, and what is said of it.

A proxy gets http requests whole, with the server's URL in them, and for https opens a tunnel in
which TLS is spoken with the server itself. Its credentials go to it alone. This machine is always
reached without one. The rules for names that need none are those of curl and Go:
https://pkg.go.dev/golang.org/x/net/http/httpproxy.
"""

from __future__ import annotations

import ipaddress
from base64 import b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from contentdb.errors import InvalidArgumentError
from contentdb.oci.failures import BUSY, BrokenError
from contentdb.oci.registry.url import is_loopback, target_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentdb.oci.registry.url import Target

__all__ = ["WANTS_CREDENTIALS", "Proxies", "Proxy", "proxies_of", "refused_by"]

WANTS_CREDENTIALS: Final = 407


@dataclass(frozen=True)
class Proxy:
    """One proxy, as its URL names it."""

    host: str
    port: int
    authorization: str | None = field(default=None, repr=False)
    """What to send as Proxy-Authorization; a secret."""

    @property
    def place(self) -> str:
        """Its URL for messages, without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        """The headers that are for the proxy alone."""
        secret = self.authorization
        return {} if secret is None else {"Proxy-Authorization": secret}

    @staticmethod
    def absolute(target: Target) -> str:
        """Return the URL to ask the proxy for (RFC 9112, 3.2.2)."""
        return target.place.removesuffix(":80") + target.path

    def opening(self, target: Target) -> bytes:
        """Return the request for a tunnel to a server (RFC 9110, 9.3.6)."""
        host = f"[{target.host}]" if ":" in target.host else target.host
        place = f"{host}:{target.port}"
        fields = {"Host": place, "User-Agent": "contentdb", **self.headers}
        lines = [f"CONNECT {place} HTTP/1.1", *(f"{key}: {fields[key]}" for key in fields)]
        return "\r\n".join([*lines, "", ""]).encode("ascii")

    def blamed(self, error: BrokenError, *, reached: bool) -> BrokenError:
        """Return an exchange's error with the proxy in its text; ``reached`` if there was one."""
        if not reached:
            reason = f"the proxy {self.place} cannot be reached: {error}"
        else:
            reason = f"{error} (through the proxy {self.place})"
        # Without TLS in the tunnel it is the proxy's own answer that came.
        advice = "ask its administrator" if "--plain-http" in error.advice else error.advice
        return BrokenError(reason, slow=error.slow, advice=advice)


@dataclass(frozen=True)
class Proxies:
    """The proxies to reach registries through.

    A URL is ``http://[USER:PASSWORD@]HOST[:PORT]``; without ``http://`` it means the same. User
    and password may be percent-encoded. A URL is parsed when it is needed.
    """

    http: str | None = field(default=None, repr=False)
    """The URL of the proxy for http."""
    https: str | None = field(default=None, repr=False)
    """The URL of the proxy for https."""
    direct: str = ""
    """What is reached without a proxy, separated by commas or spaces: host names (and the names
    below them), addresses, networks such as ``10.0.0.0/8``, each with ``:PORT`` if need be, or
    ``*``."""

    def choose(self, target: Target) -> Proxy | None:
        """Return the proxy for a request, or None to go directly.

        Raises:
            InvalidArgumentError: The proxy's URL is none, or names a kind that is not supported.
        """
        url = self.http if target.scheme == "http" else self.https
        if not url or is_loopback(target.host):
            return None
        if any(_covers(entry, target) for entry in self.direct.replace(",", " ").split()):
            return None
        return _parse(url, target.host)


def proxies_of(environment: Mapping[str, str]) -> Proxies:
    """Read ``http_proxy``, ``https_proxy``, ``all_proxy`` and ``no_proxy``, in capitals too.

    An empty variable in small letters switches off the one in capitals. ``HTTP_PROXY`` is not
    used where ``REQUEST_METHOD`` is set: in a CGI script, a client can set it with a header.
    """

    def value(name: str) -> str:
        upper = name.upper()
        forged = upper == "HTTP_PROXY" and "REQUEST_METHOD" in environment
        return environment.get(name, "" if forged else environment.get(upper, "")).strip()

    every = value("all_proxy")
    return Proxies(value("http_proxy") or every, value("https_proxy") or every, value("no_proxy"))


def refused_by(proxy: Proxy, status: int) -> BrokenError:
    """Return the error for a proxy's own answer to a request that it did not pass on."""
    if status in {WANTS_CREDENTIALS, 401}:  # tinyproxy says 401 to a wrong password
        known = proxy.authorization is not None
        reason = "refuses the user and password in its URL" if known else "wants credentials"
        advice = "name the proxy as http://USER:PASSWORD@HOST:PORT"
    else:
        reason = "does not connect us"
        advice = "" if status in BUSY else "ask its administrator, or go without it by NO_PROXY"
    return BrokenError(f"the proxy {proxy.place} {reason}: it answers {status}", advice=advice)


def _parse(url: str, host: str) -> Proxy:
    scheme, mark, rest = url.partition("://")
    if not mark:
        scheme, rest = "http", url
    if scheme.lower() != "http":
        kind = "a SOCKS proxy" if scheme.lower().startswith("socks") else "not an http proxy"
        raise InvalidArgumentError(
            f"the proxy for {host} is {kind}, which is not supported: name one that begins with "
            "http:// in HTTP_PROXY and HTTPS_PROXY, or the host in NO_PROXY"
        )
    try:
        user, at, place = rest.rpartition("@")
        target = target_of(f"http://{place}")
        secret = _basic(user) if at else None
    except ValueError:  # not chained: its text may have the password
        secret = target = None
    if target is None:
        raise InvalidArgumentError(
            f"the proxy for {host} is not a URL like http://USER:PASSWORD@HOST:PORT"
        )
    return Proxy(target.host, target.port, secret)


def _basic(user_and_password: str) -> str:
    user, _, password = user_and_password.partition(":")
    return "Basic " + b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()


def _covers(entry: str, target: Target) -> bool:
    """Return whether an entry of ``no_proxy`` is about this host."""
    if entry == "*":
        return True
    address = _address(target.host)
    try:
        network = ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:  # a name, or an address with a port
        pass
    else:
        return address is not None and address in network
    try:
        parts = urlsplit(f"//{entry}")
        name, port = (parts.hostname or "").removeprefix("*").strip("."), parts.port
    except ValueError:
        return False
    if not name or port not in {None, target.port}:
        return False
    if address is not None:
        return address == _address(name)
    return f".{target.host.rstrip('.')}".endswith(f".{name}")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
