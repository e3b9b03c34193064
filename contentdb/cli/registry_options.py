"""The options that say how to reach a registry and who we are there, shared by three commands."""

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
        help="Who you are there. Better in the environment than here, where others see it "
        "[env: CONTENTDB_REGISTRY_USER].",
    ),
    click.option(
        "--docker-config",
        type=click.Path(path_type=Path),
        envvar="DOCKER_CONFIG",
        help="Folder of Docker's config.json, to know you by [env: DOCKER_CONFIG; ~/.docker].",
    ),
    click.option(
        "--plain-http",
        is_flag=True,
        envvar="CONTENTDB_PLAIN_HTTP",
        help="Speak http, to a registry on this machine [env: CONTENTDB_PLAIN_HTTP].",
    ),
    click.option("--insecure", is_flag=True, help="Let --plain-http cross the network."),
    click.option("--ca", type=_FILE, help="Trust these CA certificates too, PEM."),
    click.option("--cert", type=_FILE, help="Show this client certificate, PEM."),
    click.option("--key", type=_FILE, help="Its key, PEM; without it, in the same file."),
    click.option(
        "--trust-realm",
        metavar="HOST",
        multiple=True,
        help="Let this token server see the credentials, though it is another host.",
    ),
)


def registry_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options; it takes them as keywords and hands them to `connect`."""
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
    """Make the client that the options describe.

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
    except RuntimeError:  # a user without a name and a home, as in containers
        return None
    return find_credentials(name, folder / "config.json")
