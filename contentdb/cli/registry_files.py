"""Where other tools keep what they know about registries: credentials, mirrors, what is blocked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentdb.oci.reference import Reference
    from contentdb.oci.registry.credentials import Credentials
    from contentdb.oci.registry.endpoint import Endpoint, Endpoints

__all__ = ["find_places", "find_user"]

_SYSTEM_HOSTS: Final = (Path("/etc/containerd/certs.d"), Path("/etc/docker/certs.d"))
_SYSTEM_CONF: Final = Path("/etc/containers/registries.conf")


def find_user(
    registry: str, repository: str, *, authfile: Path | None, docker_config: Path | None
) -> Credentials | None:
    """Return the credentials of the first file that has some for a registry.

    Raises:
        CredentialsError: A file or helper cannot be used.
    """
    from contentdb.oci.registry.credentials import find_credentials

    files = [authfile] if authfile is not None else _auth_files(docker_config)
    for file in files:
        found = find_credentials(registry, file, repository=repository)
        if found is not None:
            return found
    return None


def _auth_files(docker_config: Path | None) -> Iterator[Path]:
    """Yield the files in podman's order, but first Docker's folder if it is named."""
    if docker_config is not None:
        yield docker_config / "config.json"
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/containers/{os.getuid()}"
    config = _user_config()
    for file in (Path(runtime), *([] if config is None else [config])):
        found = file / "containers" / "auth.json"
        if os.access(found, os.R_OK):  # the folder may be another user's, after su
            yield found
    home = _home()
    if docker_config is None and home is not None:
        yield home / ".docker" / "config.json"


def find_places(
    place: Reference,
    source: Endpoint,
    *,
    hosts_dirs: tuple[Path, ...],
    registries_conf: Path | None,
) -> Endpoints:
    """Return the places of a reference by the files that are named, else by the usual ones.

    Raises:
        RegistryConfigError: A file cannot be used, or blocks the reference.
    """
    from contentdb.oci.registry.endpoint import Endpoints
    from contentdb.oci.registry.hosts_toml import find_hosts
    from contentdb.oci.registry.registries_conf import find_locations

    if not hosts_dirs and registries_conf is None:
        hosts_dirs, files = tuple(_hosts_dirs()), list(_registries_files())
    else:
        files = [] if registries_conf is None else [registries_conf]
    located = find_locations(files, place, source)  # first, since it may block the reference
    return find_hosts(hosts_dirs, source) or located or Endpoints.of(source)


def _hosts_dirs() -> Iterator[Path]:
    config = _user_config()
    if config is not None:
        yield from (config / "containerd" / "certs.d", config / "docker" / "certs.d")
    yield from _SYSTEM_HOSTS


def _registries_files() -> Iterator[Path]:
    """Yield the main file and the drop-ins; a user's own main file replaces all of the system's."""
    config = _user_config()
    own = None if config is None else config / "containers" / "registries.conf"
    mains = [_SYSTEM_CONF, *([] if own is None else [own])]
    if own is not None and own.exists():
        mains = [own]
    yield mains[0]
    for main in mains:
        yield from sorted(main.with_suffix(".conf.d").glob("*.conf"))


def _user_config() -> Path | None:
    named = os.environ.get("XDG_CONFIG_HOME")
    home = _home()
    return Path(named) if named else None if home is None else home / ".config"


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:  # the user has no name and no home, as in containers
        return None
