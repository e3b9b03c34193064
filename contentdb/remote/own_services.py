"""Calls of services that contentdb alone has; a server that has them not is asked for each once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from contentdb.errors import StoreError
from contentdb.remote.answers import is_unimplemented

if TYPE_CHECKING:
    from contentdb.errors import ContentDBError
    from contentdb.remote.channel import Channel

__all__ = ["ask_own", "note_lack"]


def ask_own(
    channel: Channel, name: str, request: object, *, absent: ContentDBError | None = None
) -> Any | None:  # noqa: ANN401 - each rpc has its own type
    """Call an rpc by its name, ``SERVICE.METHOD``; return None if the server does not have it.

    Such a server refuses the call whatever it asks for: it cannot pass over what it does not know.

    Raises:
        ContentDBError: As the server answers; ``absent`` if what the call is about is not there.
    """
    service = name.partition(".")[0]
    if service in channel.lacks:
        return None
    try:
        with channel.translate_errors(absent=absent):
            return channel.ask(name, request)
    except StoreError as error:
        note_lack(channel, service, error)
        return None


def note_lack(channel: Channel, service: str, error: StoreError) -> None:
    """Note that the server does not have a service, or raise an error that says otherwise."""
    if not is_unimplemented(error):
        raise error
    channel.lacks |= {service}
