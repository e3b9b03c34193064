"""The options for a registry's connection and credentials, shared by three commands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentdb.oci.registry.credentials import Credentials
    from contentdb.oci.registry.registry import Registry

__all__ = ["connect", "registry_options"]

_FILE = click.Path(exists=True, dir_okay=False)

_OPTIONS = (
    click.option(
        "--user",
        "-u",
        metavar="USER:PASSWORD",
        envvar="CONTENTDB_REGISTRY_USER",
        help="Your credentials. Other users can see the command line, so better use the "
        "environment [env: CONTENTDB_REGISTRY_USER].",
    ),
    click.option(
        "--docker-config",
        type=click.Path(path_type=Path),
        envvar="DOCKER_CONFIG",
        help="Folder of Docker's config.json, for credentials [env: DOCKER_CONFIG; ~/.docker].",
    ),
    click.option(
        "--plain-http",
        is_flag=True,
        envvar="CONTENTDB_PLAIN_HTTP",
        help="Use http, for a registry on this machine [env: CONTENTDB_PLAIN_HTTP].",
    ),
    click.option("--insecure", is_flag=True, help="Allow --plain-http over the network."),
    click.option("--ca", type=_FILE, help="Trust these CA certificates too, PEM."),
    click.option("--cert", type=_FILE, help="Use this client certificate, PEM."),
    click.option("--key", type=_FILE, help="Its key, PEM; by default in the file of --cert."),
    click.option(
        "--trust-realm",
        metavar="HOST",
        multiple=True,
        help="Send the credentials to a token server on this host too; may be repeated.",
    ),
)


def registry_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command, which passes them as keywords to `connect`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def connect(
    name: str,
    *,
    user: str | None,
    docker_config: Path | None,
    plain_http: bool,
    insecure: bool,
    ca: str | None,
    cert: str | None,
    key: str | None,
    trust_realm: tuple[str, ...],
) -> Registry:
    """Return a client with these options.

    Raises:
        MissingExtraError: The extra is not installed.
        ContentDBError: The options contradict each other, or Docker's configuration is broken.
    """
    from contentdb.oci.registry.registry import Registry

    if key is not None and cert is None:
        raise click.UsageError("--key goes with --cert")
    return Registry(
        name,
        credentials=_credentials(name, user, docker_config),
        plain_http=plain_http,
        insecure=insecure,
        ca=ca,
        cert=None if cert is None else (cert, key),
        trusted_realms=trust_realm,
    )


def _credentials(name: str, user: str | None, docker_config: Path | None) -> Credentials | None:
    from contentdb.oci.registry.credentials import Credentials, find_credentials

    if user:
        username, colon, password = user.partition(":")
        if not colon:
            raise click.UsageError("--user takes USER:PASSWORD")
        return Credentials(username, password)
    try:
        folder = docker_config or Path("~/.docker").expanduser()
    except RuntimeError:  # the user has no name and no home, as in containers
        return None
    return find_credentials(name, folder / "config.json")
