"""Which error a refusal of a registry is, by its status, and what to advise."""

from __future__ import annotations

from contentdb.oci.errors import (
    ObjectNotFoundError,
    RegistryError,
    UnauthorizedError,
    UnreachableError,
)
from contentdb.oci.failures import BUSY

__all__ = ["error_of"]


def error_of(
    registry: str, thing: str, status: int, reason: str, withheld: str, *, anonymous: bool
) -> RegistryError:
    """Return the error for an answer.

    Args:
        registry: Its name.
        thing: What was asked for.
        status: The answer's status.
        reason: What to say of it.
        withheld: What to advise if the user's credentials were withheld from a token server, or "".
        anonymous: Whether no authorization was sent.
    """
    if status in {401, 403}:
        advice = "check the user, and what it may do"
        if anonymous:
            advice = "log in with docker login, or pass --user"
        return UnauthorizedError(registry, thing, reason, withheld or advice)
    if status == 404:  # noqa: PLR2004 - HTTP
        advice = "check the repository and the tag or digest"
        if withheld:
            advice = f"{advice}; if it is not public, {withheld}"
        return ObjectNotFoundError(registry, thing, reason, advice)
    if status in BUSY:
        return UnreachableError(registry, thing, reason, "try again later")
    return RegistryError(registry, thing, reason, "see the registry's own log")
