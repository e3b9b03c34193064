"""Reads small answers whole, as a manifest; one that breaks off is asked for again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentdb.oci.errors import given_up
from contentdb.oci.failures import BrokenError, OversizeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentdb.oci.registry.answer import Answer
    from contentdb.oci.registry.session import Session

__all__ = ["check_length", "get_whole"]


def get_whole(
    session: Session,
    path: str,
    thing: str,
    *,
    scope: str,
    headers: Mapping[str, str],
    most_bytes: int,
) -> tuple[Answer, bytes]:
    """Request something small and read it; return the answer, closed, and its body.

    Args:
        session: Sends the requests.
        path: Below ``/v2/``, or a URL.
        thing: What is asked for, for messages.
        scope: What the request does.
        headers: The media types to ask for.
        most_bytes: A longer body is refused.

    Raises:
        HostileRegistryError: The body is too long, or its length is no number.
        UnreachableError: It broke off more often than the session's ``retries`` allow.
    """
    tries = session.tries()
    while True:
        answer = session.request("GET", path, thing, scope=scope, headers=headers)
        try:
            check_length(session, answer, thing, None)
            return answer, answer.read(most_bytes)
        except OversizeError:
            session.refuse(thing, f"it sends more than {most_bytes} bytes")
        except BrokenError as error:
            if error.slow or not tries.again():
                raise given_up(error, session.name, thing, "try again") from error
        finally:
            answer.close()


def check_length(session: Session, answer: Answer, thing: str, wanted: int | None) -> int | None:
    """Return the Content-Length in bytes, or ``wanted`` if there is none; refuse another."""
    text = answer.headers.get("Content-Length")
    if text is None:
        return wanted
    if not text.isascii() or not text.isdecimal() or len(text) > 19:  # noqa: PLR2004 - of 2**63
        session.refuse(thing, "its Content-Length is not a count of bytes")
    if wanted is not None and int(text) != wanted:
        session.refuse(thing, f"expected {wanted} bytes, it announces {text}")
    return int(text)
