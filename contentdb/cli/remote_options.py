"""The options of the group that choose a served store, and a namespace."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["remote_options"]

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

_REMOTE = (
    click.option(
        "--address",
        envvar="CONTENTDB_ADDRESS",
        metavar="SOCKET",
        help="Use the store that is served at this unix socket, or HOST:PORT, instead of --root "
        "[env: CONTENTDB_ADDRESS].",
    ),
    click.option(
        "--namespace",
        envvar="CONTENTDB_NAMESPACE",
        default="default",
        metavar="NAME",
        help="The namespace to work in [env: CONTENTDB_NAMESPACE].",
    ),
    click.option("--client-key", type=_FILE, help="For --address HOST:PORT: your key, PEM."),
    click.option("--client-cert", type=_FILE, help="Your certificate, PEM."),
    click.option("--server-ca", type=_FILE, help="The CA of the server's certificate, PEM."),
)


def remote_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for a served store to the group."""
    for option in reversed(_REMOTE):
        command = option(command)
    return command
