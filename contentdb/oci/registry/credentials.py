"""Finds credentials for a registry in Docker's configuration, podman's, or their helpers.

The formats are Docker's ``config.json``, containers-auth.json(5), whose keys may have a path, and
the protocol of the credential helpers (https://github.com/docker/docker-credential-helpers). Only
the CLI reads environment variables, and passes their values on.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from contentdb.errors import ContentDBError
from contentdb.oci.reference import DEFAULT_REGISTRY

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Credentials", "CredentialsError", "RegistryToken", "find_credentials"]

_HUB_KEY: Final = "https://index.docker.io/v1/"
"""The key that Docker writes for its default registry."""
_HUB_HOSTS: Final = frozenset({DEFAULT_REGISTRY, "index.docker.io", "registry-1.docker.io"})
_OLD_ENDS: Final = ("/v1/", "/v2/")
"""Ends of keys that are the URL of an API, and so name a host alone."""
_HELPER_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HELPER_SECONDS: Final = 60
_CONFIG_BYTES: Final = 4 * 1024 * 1024
_NOT_FOUND: Final = "credentials not found"
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,65536}")


class CredentialsError(ContentDBError):
    """The configuration or a helper cannot be used. Its text contains no secret."""


class Credentials(NamedTuple):
    """A user and a password, or an identity token to exchange for tokens."""

    username: str
    password: str
    identity_token: str = ""

    @property
    def basic(self) -> str:
        """The value of an Authorization header of the Basic scheme; empty without a user."""
        if not self.username and not self.password:
            return ""
        try:  # surrogateescape sends a command line's bytes unchanged
            pair = f"{self.username}:{self.password}".encode(errors="surrogateescape")
        except UnicodeEncodeError:
            raise CredentialsError("the user and password are not valid Unicode") from None
        return "Basic " + base64.b64encode(pair).decode("ascii")

    @property
    def bearer(self) -> str:
        """The value of an Authorization header that no token server has to make; else empty."""
        return ""

    def __repr__(self) -> str:
        """Return a text without secrets, for logs."""
        return "Credentials(…)"

    def __str__(self) -> str:
        """Return the same as `repr`."""
        return repr(self)


class RegistryToken(Credentials):
    """A token for the registry itself, as its password; no token server gets to see it."""

    __slots__ = ()

    @property
    def basic(self) -> str:
        """Empty: a token is no password."""
        return ""

    @property
    def bearer(self) -> str:
        """The value of an Authorization header of the Bearer scheme."""
        return f"Bearer {self.password}"


def find_credentials(
    registry: str, config: Path, *, repository: str | None = None
) -> Credentials | None:
    """Find credentials: in the registry's own helper, the common helper, then the file itself.

    In the file the longest key that begins the repository's name decides, such as
    ``quay.io/team`` before ``quay.io``. A key with a scheme names a host alone.

    Args:
        registry: As in a reference, e.g. ``docker.io`` or ``127.0.0.1:5000``.
        config: Docker's ``config.json`` or podman's ``auth.json``; if it does not exist or is
            empty, there are no credentials.
        repository: As in a reference, e.g. ``team/app``; without it no key with a path is used.

    Raises:
        CredentialsError: The file cannot be read or parsed, or the helper failed.
    """
    settings = _load(config)
    host = _canonical(registry)
    helper = _helper(settings, registry, host)
    if helper:
        for key in (_HUB_KEY, *sorted(_HUB_HOSTS)) if host in _HUB_HOSTS else (registry,):
            found = _ask_helper(helper, key)
            if found is not None:
                return found
    auths = settings.get("auths")
    if not isinstance(auths, dict):
        return None
    entry = _choose_entry(auths, registry, host, repository)
    return _of_entry(entry) if isinstance(entry, dict) else None


def _load(config: Path) -> dict[str, Any]:
    try:
        with config.open("rb") as file:
            data = file.read(_CONFIG_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise CredentialsError(f"cannot read {config}: {error.strerror}") from error
    if not data.strip():
        return {}
    try:
        settings = json.loads(data)
    except (ValueError, RecursionError):
        raise CredentialsError(f"{config} is not JSON; log in again to write it anew") from None
    return settings if isinstance(settings, dict) else {}


# -- which entry is meant ------------------------------------------------------------------------


def _canonical(host: str) -> str:
    return DEFAULT_REGISTRY if host in _HUB_HOSTS else host


def _normal(key: str) -> str:
    """Return a key as ``host[:port][/path]``; a URL becomes its host, as Docker reads it."""
    bare = key.removeprefix("https://").removeprefix("http://")
    host, slash, path = bare.partition("/")
    if bare != key or f"/{path}" in _OLD_ENDS:
        return _canonical(host)
    return (_canonical(host) + slash + path).rstrip("/")


def _by_name(keyed: Mapping[str, Any], registry: str, host: str) -> dict[str, Any]:
    """Return the values by their normal keys; of several for one name an exact key decides."""
    named = {_normal(key): keyed[key] for key in reversed(list(keyed))}
    exact = (_HUB_KEY, DEFAULT_REGISTRY) if host == DEFAULT_REGISTRY else (registry,)
    for key in exact:
        if key in keyed:
            return named | {host: keyed[key]}
    return named


def _helper(settings: Mapping[str, Any], registry: str, host: str) -> str:
    """Return the helper's name; an empty one of the registry's own means none."""
    helpers = settings.get("credHelpers")
    own = _by_name(helpers, registry, host).get(host) if isinstance(helpers, dict) else None
    helper = settings.get("credsStore") if own is None else own
    return helper if isinstance(helper, str) else ""


def _choose_entry(
    auths: Mapping[str, Any], registry: str, host: str, repository: str | None
) -> object:
    named = _by_name(auths, registry, host)
    name = f"{host}/{repository}" if repository else host
    while name not in named and "/" in name:
        name = name.rpartition("/")[0]
    return named.get(name)


def _of_entry(entry: Mapping[str, Any]) -> Credentials | None:
    registry_token = _text(entry, "registrytoken")
    if registry_token:
        if _TOKEN.fullmatch(registry_token) is None:
            raise CredentialsError("a registrytoken is not a token; log in again")
        return RegistryToken("", registry_token)
    user, password = _text(entry, "username"), _text(entry, "password")
    auth = "".join(_text(entry, "auth").split())
    if auth:
        try:
            padded = auth + "=" * (-len(auth) % 4)
            user, _, password = base64.b64decode(padded, validate=True).decode().partition(":")
        except ValueError:
            raise CredentialsError("an auth entry is not base64; log in again") from None
        password = password.rstrip("\0")
    return _of_parts(user, password, _text(entry, "identitytoken"))


def _text(entry: Mapping[str, Any], key: str) -> str:
    value = entry.get(key)
    return value if isinstance(value, str) else ""


def _of_parts(user: str, password: str, token: str) -> Credentials | None:
    return Credentials(user, password, token) if user or password or token else None


# -- helpers -------------------------------------------------------------------------------------


def _ask_helper(name: str, key: str) -> Credentials | None:
    """Ask a helper; by an empty user and secret a helper says that it has none."""
    if _HELPER_NAME.fullmatch(name) is None:
        raise CredentialsError(f"{name[:40]!r} is not the name of a credential helper")
    program = f"docker-credential-{name}"
    try:
        done = subprocess.run(  # noqa: S603 - the name is checked and comes from the user's settings
            [program, "get"],
            input=key.encode(),
            capture_output=True,
            timeout=_HELPER_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise CredentialsError(f"{program} is not on PATH; install it, or pass --user") from None
    except (OSError, subprocess.TimeoutExpired):
        raise CredentialsError(f"{program} did not answer; try `{program} get` by hand") from None
    if done.returncode:
        if _NOT_FOUND in (done.stdout + done.stderr).decode(errors="replace").lower():
            return None
        raise CredentialsError(f"{program} failed; try `{program} get` by hand")
    try:
        answer = json.loads(done.stdout)
        return _of_pair(answer["Username"], answer["Secret"])
    except (ValueError, KeyError, TypeError):
        raise CredentialsError(f"{program} answered something else than credentials") from None


def _of_pair(user: object, secret: object) -> Credentials | None:
    if not isinstance(user, str) or not isinstance(secret, str):
        raise TypeError
    return _of_parts("", "", secret) if user == "<token>" else _of_parts(user, secret, "")
