"""Where a registry may send us: the rules for its redirects and for the places of its uploads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from contentdb.oci.registry.url import is_loopback, target_of

if TYPE_CHECKING:
    from contentdb.oci.registry.url import Target

__all__ = ["REDIRECTS", "check_write", "lead"]

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_SAME_METHOD: Final = frozenset({307, 308})
"""Those that ask for the same request elsewhere (RFC 9110, 15.4)."""


def lead(url: str, came_from: Target, home: Target) -> Target:
    """Parse a server's redirect.

    Args:
        url: Where it leads.
        came_from: The server that said so.
        home: The registry.

    Raises:
        ValueError: It leads from https to http, to another machine's http, or from another
            machine to this one; or it is no URL.
    """
    try:
        target = target_of(url)
    except ValueError as error:
        raise ValueError(f"it sends us to another place: {error}") from None
    if target.scheme == "http" and target.origin != home.origin:
        local = is_loopback(target.host) and is_loopback(home.host)
        if came_from.scheme == "https" or not local:
            raise ValueError(f"it sends us from https or this machine to {target.place}")
    if is_loopback(target.host) and not is_loopback(home.host):
        raise ValueError(f"it sends us to this machine, {target.place}")
    return target


def check_write(method: str, status: int, came_from: Target, target: Target) -> None:
    """Check the redirect of a request that changes something.

    It is followed only within the origin that it went to. Else a registry could have us change
    things at any server that we can reach and it cannot.

    Raises:
        ValueError: It leads to another origin, or asks for another method.
    """
    if status not in _SAME_METHOD:
        raise ValueError(f"it redirects a {method} by {status}, which asks for a GET")
    if target.origin != came_from.origin:
        raise ValueError(f"it redirects a {method} to another server, {target.place}")
