"""The options for a registry's connection and credentials, shared by all its commands."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from contentdb.cli.registry_files import find_places, find_user

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from contentdb.oci.reference import Reference
    from contentdb.oci.registry.credentials import Credentials
    from contentdb.oci.registry.endpoint import Endpoint
    from contentdb.oci.registry.registry import Registry

__all__ = ["chunk_bytes_option", "connect", "jobs_option", "registry_options"]

_FILE = click.Path(exists=True, dir_okay=False)
_PATH = click.Path(exists=True, path_type=Path)

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
        "--authfile",
        type=_PATH,
        envvar="REGISTRY_AUTH_FILE",
        help="Podman's auth.json or the like, for credentials; no other file is then read "
        "[env: REGISTRY_AUTH_FILE].",
    ),
    click.option(
        "--hosts-dir",
        metavar="DIR",
        type=_PATH,
        multiple=True,
        envvar="CONTENTDB_HOSTS_DIR",
        help="Containerd's folder of mirrors, with HOST/hosts.toml; may be repeated "
        "[env: CONTENTDB_HOSTS_DIR].",
    ),
    click.option(
        "--registries-conf",
        metavar="FILE",
        type=_PATH,
        envvar="CONTAINERS_REGISTRIES_CONF",
        help="Podman's file of mirrors and locations [env: CONTAINERS_REGISTRIES_CONF].",
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
    click.option(
        "--timeout",
        type=click.FloatRange(0, 24 * 3600, min_open=True),
        metavar="SECONDS",
        default=300,
        show_default=True,
        help="How long to wait for the first byte of an answer.",
    ),
    click.option(
        "--retries",
        type=click.IntRange(0, 100),
        metavar="N",
        default=4,
        show_default=True,
        help="How often to try again after a break or a busy answer.",
    ),
)

chunk_bytes_option = click.option(
    "--chunk-bytes",
    type=click.IntRange(min=1),
    help="Send larger blobs in chunks of this size; otherwise only if the registry refuses more.",
)


def jobs_option(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option for how many at once, with this help."""
    return click.option(
        "--jobs", "-j", type=click.IntRange(1, 64), default=4, show_default=True, help=text
    )


def registry_options(
    command: Callable[..., Any], *, hidden: Sequence[str] = ()
) -> Callable[..., Any]:
    """Add the options to a command, which passes them as keywords to `connect`.

    Those whose keywords are in ``hidden`` are left out of the help.
    """
    for option in reversed(_OPTIONS):
        command = option(command)
    for one in getattr(command, "__click_params__", ()):
        if one.name in hidden:
            one.hidden = True
    return command


def connect(
    place: Reference,
    *,
    writes: bool = False,
    mirrors: bool = True,
    user: str | None,
    docker_config: Path | None,
    authfile: Path | None,
    hosts_dir: tuple[Path, ...],
    registries_conf: Path | None,
    plain_http: bool,
    insecure: bool,
    ca: str | None,
    cert: str | None,
    key: str | None,
    trust_realm: tuple[str, ...],
    timeout: float,
    retries: int,
) -> Registry:
    """Return a client with these options, for reads, from ``mirrors`` too, or for writes.

    It goes through the proxies that the environment names, and by what the files of the machine
    say about the reference's repository.

    Raises:
        MissingExtraError: The extra is not installed.
        ContentDBError: The options contradict each other, or a configuration is broken.
    """
    from contentdb.oci.registry.endpoint import Endpoint
    from contentdb.oci.registry.mirrors import open_registry
    from contentdb.oci.registry.proxy import proxies_of

    if key is not None and cert is None:
        raise click.UsageError("--key goes with --cert")
    source = Endpoint.of(place.registry, plain_http=plain_http, insecure=insecure)
    places = find_places(place, source, hosts_dirs=hosts_dir, registries_conf=registries_conf)
    return open_registry(
        place.registry,
        places if mirrors else places._replace(mirrors=()),
        writes=writes,
        credentials=_finder(place, user, authfile, docker_config),
        ca=ca,
        cert=None if cert is None else (cert, key),
        trusted_realms=trust_realm,
        proxies=proxies_of(os.environ),
        timeout_s=timeout,
        retries=retries,
    )


def _finder(
    where: Reference, user: str | None, authfile: Path | None, docker_config: Path | None
) -> Callable[[Endpoint], Credentials | None]:
    """Return a function that finds the credentials of a place; those typed are for one registry."""
    typed = _typed_user(user)

    def find(endpoint: Endpoint) -> Credentials | None:
        if typed is not None and endpoint.name == where.registry:
            return typed
        repository = endpoint.renamed[1] or where.repository
        return find_user(endpoint.name, repository, authfile=authfile, docker_config=docker_config)

    return find


def _typed_user(user: str | None) -> Credentials | None:
    from contentdb.oci.registry.credentials import Credentials

    if not user:
        return None
    username, colon, password = user.partition(":")
    if not colon:
        raise click.UsageError("--user takes USER:PASSWORD")
    return Credentials(username, password)
