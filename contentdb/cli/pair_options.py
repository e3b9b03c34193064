"""The options for the two registries of a copy: whose each credential is, is always said."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from contentdb.cli.registry_options import connect, registry_options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from contentdb.oci.reference import Reference
    from contentdb.oci.registry.registry import Registry

__all__ = ["connect_pair", "pair_options"]

_FILE: Final = click.Path(exists=True, dir_okay=False)
_SIDES: Final = ("source", "target")
_OWN: Final = ("user", "cert", "key", "trust_realm")
"""What one registry must not learn of the other."""
_EITHER: Final = ("plain_http", "insecure")
"""What may hold for one side or, without its name, for both."""


def _options_of(side: str) -> tuple[Callable[[Callable[..., Any]], Callable[..., Any]], ...]:
    variable = f"CONTENTDB_{side.upper()}_USER"
    return (
        click.option(
            f"--{side}-user",
            metavar="USER:PASSWORD",
            envvar=variable,
            help=f"Your credentials for the {side}'s registry [env: {variable}].",
        ),
        click.option(f"--{side}-plain-http", is_flag=True, help=f"Use http for the {side} alone."),
        click.option(
            f"--{side}-insecure", is_flag=True, help="Allow that over the network, for it alone."
        ),
        click.option(f"--{side}-cert", type=_FILE, help="Use this client certificate there, PEM."),
        click.option(f"--{side}-key", type=_FILE, help="Its key, PEM."),
        click.option(
            f"--{side}-trust-realm",
            metavar="HOST",
            multiple=True,
            help="Send those credentials to a token server on this host too; may be repeated.",
        ),
    )


def pair_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command, which passes them as keywords to `connect_pair`."""
    command = registry_options(command, hidden=_OWN)
    for option in reversed([*_options_of("source"), *_options_of("target")]):
        command = option(command)
    return command


@contextmanager
def connect_pair(
    source: Reference,
    target: Reference,
    **options: Any,  # noqa: ANN401 - click passes them
) -> Iterator[tuple[Registry, Registry]]:
    """Yield a client that reads from the source, and one that writes to the target.

    Raises:
        UsageError: A credential was given without a word for which registry it is.
        ContentDBError: The options contradict each other, or a configuration is broken.
    """
    for name in _OWN:
        if options.pop(name):
            _refuse(name.replace("_", "-"))
    own = {f"{side}_{name}": side for side in _SIDES for name in (*_OWN, *_EITHER)}
    shared = {name: value for name, value in options.items() if name not in own}
    with ExitStack() as stack:
        clients = []
        for side, place in zip(_SIDES, (source, target), strict=True):
            settings = {name: options[f"{side}_{name}"] for name in _OWN}
            settings |= {name: options[name] or options[f"{side}_{name}"] for name in _EITHER}
            client = connect(place, writes=side == "target", **(shared | settings))
            clients.append(stack.enter_context(client))
        yield clients[0], clients[1]


def _refuse(name: str) -> None:
    variable = " or CONTENTDB_REGISTRY_USER" if name == "user" else ""
    raise click.UsageError(
        f"--{name}{variable} does not say which registry it is for: "
        f"give --source-{name} or --target-{name}"
    )
