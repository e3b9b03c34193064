"""Finds a user and password for a registry in Docker's configuration or its helpers.

The formats are ``~/.docker/config.json`` and the protocol of the credential helpers
(https://github.com/docker/docker-credential-helpers). Only the CLI reads environment variables,
and passes their values on.
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
    from pathlib import Path

__all__ = ["Credentials", "CredentialsError", "find_credentials"]

_DEFAULT_KEY: Final = "https://index.docker.io/v1/"
_HELPER_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HELPER_SECONDS: Final = 60
_CONFIG_BYTES: Final = 4 * 1024 * 1024
_NOT_FOUND: Final = "credentials not found"


class CredentialsError(ContentDBError):
    """The configuration or a helper cannot be used. Its text contains no secret."""


class Credentials(NamedTuple):
    """A user and a password, or an identity token to exchange for tokens."""

    username: str
    password: str
    identity_token: str = ""

    @property
    def basic(self) -> str:
        """The value of an Authorization header of the Basic scheme."""
        try:  # surrogateescape sends a command line's bytes unchanged
            pair = f"{self.username}:{self.password}".encode(errors="surrogateescape")
        except UnicodeEncodeError:
            raise CredentialsError("the user and password are not valid Unicode") from None
        return "Basic " + base64.b64encode(pair).decode("ascii")

    def __repr__(self) -> str:
        """Return a text without secrets, for logs."""
        return "Credentials(…)"

    def __str__(self) -> str:
        """Return the same as `repr`."""
        return repr(self)


def find_credentials(registry: str, config: Path) -> Credentials | None:
    """Find credentials: in the registry's own helper, the common helper, then the file itself.

    Args:
        registry: As in a reference, e.g. ``docker.io`` or ``127.0.0.1:5000``.
        config: The ``config.json``; if it does not exist, there are no credentials.

    Raises:
        CredentialsError: The file cannot be read or parsed, or the helper failed.
    """
    settings = _load(config)
    keys = [_DEFAULT_KEY, registry] if registry == DEFAULT_REGISTRY else [registry]
    helpers = settings.get("credHelpers")
    own = helpers.get(registry) if isinstance(helpers, dict) else None
    helper = own or settings.get("credsStore")
    if isinstance(helper, str) and helper:
        for key in keys:
            found = _ask_helper(helper, key)
            if found is not None:
                return found
    auths = settings.get("auths")
    return _from_file(auths, keys) if isinstance(auths, dict) else None


def _load(config: Path) -> dict[str, Any]:
    try:
        with config.open("rb") as file:
            data = file.read(_CONFIG_BYTES)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise CredentialsError(f"cannot read {config}: {error.strerror}") from error
    try:
        settings = json.loads(data)
    except (ValueError, RecursionError):
        raise CredentialsError(f"{config} is not JSON; log in again to write it anew") from None
    return settings if isinstance(settings, dict) else {}


def _ask_helper(name: str, key: str) -> Credentials | None:
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


def _from_file(auths: dict[str, Any], keys: list[str]) -> Credentials | None:
    by_host = {_host(key): value for key, value in auths.items()}
    for key in keys:
        entry = auths.get(key) or by_host.get(_host(key))
        if isinstance(entry, dict):
            found = _of_entry(entry)
            if found is not None:
                return found
    return None


def _host(key: str) -> str:
    """Return the host of a key such as ``https://host/v2/``, as Docker does."""
    return key.removeprefix("https://").removeprefix("http://").partition("/")[0]


def _of_entry(entry: dict[str, Any]) -> Credentials | None:
    token = entry.get("identitytoken")
    token = token if isinstance(token, str) else ""
    auth = entry.get("auth")
    if isinstance(auth, str) and auth:
        try:
            user, _, password = base64.b64decode(auth, validate=True).decode().partition(":")
        except ValueError:
            raise CredentialsError("an auth entry is not base64; log in again") from None
        return Credentials(user, password.rstrip("\0"), token)
    name, secret = entry.get("username"), entry.get("password")
    if isinstance(name, str) and isinstance(secret, str):
        return Credentials(name, secret, token)
    return Credentials("", "", token) if token else None


def _of_pair(user: object, secret: object) -> Credentials:
    if not isinstance(user, str) or not isinstance(secret, str):
        raise TypeError
    return Credentials("", "", secret) if user == "<token>" else Credentials(user, secret)
