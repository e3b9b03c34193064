"""Authorizes requests: reads challenges, fetches and caches tokens, and protects secrets.

The protocol is https://distribution.github.io/distribution/spec/auth/ (token and oauth). A
registry may name any URL as its token server (realm). The client sends credentials to it only if
its host is the registry's, a parent domain of it, or one that the user named; it requests a token
from any other host without them. It sends tokens to the registry alone.
"""

from __future__ import annotations

import re
import threading
import time
from shlex import quote
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlencode

from contentdb.oci.documents.strict_json import parse_object
from contentdb.oci.errors import (
    HostileRegistryError,
    InvalidManifestError,
    UnauthorizedError,
    shown,
)
from contentdb.oci.failures import BUSY, BrokenError, OversizeError
from contentdb.oci.reference import DEFAULT_REGISTRY
from contentdb.oci.registry.url import is_loopback, target_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from contentdb.oci.registry.credentials import Credentials
    from contentdb.oci.registry.transport import Transport
    from contentdb.oci.registry.url import Target

__all__ = ["Authorizer", "Challenge", "parse_challenges"]

_ANSWER_BYTES: Final = 256 * 1024
_CHALLENGE_CHARS: Final = 8 * 1024
_LEAST_LIFE_S: Final = 60
_MOST_LIFE_S: Final = 24 * 3600
_MARGIN: Final = 0.9
_CLIENT: Final = "contentdb"
_OK: Final = 200

_SCHEME: Final = re.compile(
    r"\s*,?\s*([A-Za-z0-9!#$%&'*+.^_`|~-]+)(?:\s+(?=[^\s=,]+\s*=)|\s*(?=,|$))"
)
_PARAM: Final = re.compile(r'\s*,?\s*([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*+)"|([^\s,"]+))')
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,65536}")


class Challenge(NamedTuple):
    """One way to authorize that a server offers."""

    scheme: str
    """In lower case."""
    params: dict[str, str]


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """Parse WWW-Authenticate headers, each with one or more challenges (RFC 9110, 11.6.1).

    Skip what cannot be parsed.
    """
    found: list[Challenge] = []
    for header in headers:
        text = header[:_CHALLENGE_CHARS]
        at = 0
        while scheme := _SCHEME.match(text, at):
            at = scheme.end()
            params: dict[str, str] = {}
            while param := _PARAM.match(text, at):
                at = param.end()
                quoted = param[2]
                value = param[3] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
                params.setdefault(param[1].lower(), value)
            found.append(Challenge(scheme[1].lower(), params))
            if at >= len(text) or scheme.end() == scheme.start():
                break
    return found


class Authorizer:
    """Authorization headers for one registry, by scope. Thread-safe.

    Args:
        registry: Its name, for messages and for the hosts that Docker Hub shares.
        home: The registry's URL; tokens go to its origin alone.
        transport: Sends the requests for tokens.
        credentials: The user's; None is anonymous.
        trusted_realms: Token servers that may see the credentials, besides the registry's own.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        registry: str,
        home: Target,
        transport: Transport,
        credentials: Credentials | None,
        *,
        trusted_realms: Iterable[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._home = home
        self._transport = transport
        self._credentials = credentials
        self._trusted = frozenset(trusted_realms)
        self._clock = clock
        self._lock = threading.Lock()
        self._headers: dict[str, tuple[str, float]] = {}
        self.withheld = ""
        """What to advise, if a token server was asked without the user's credentials."""

    def header(self, scope: str) -> str | None:
        """Return the last header made for a scope, or None if there is none or it has expired."""
        with self._lock:
            known = self._headers.get(scope)
        return known[0] if known is not None and known[1] > self._clock() else None

    def answer(self, challenges: list[Challenge], scope: str, *, refused: str | None) -> str | None:
        """Make a header for a server that answered 401.

        Args:
            challenges: The ways to authorize that the server offered.
            scope: What the next request does, e.g. ``repository:a/b:pull``.
            refused: The header that the server rejected; it is not sent again.

        Returns:
            The header, or None if there is nothing to try.

        Raises:
            HostileRegistryError: The server names a realm that must not be asked.
            UnauthorizedError: The realm refuses.
        """
        by_scheme = {challenge.scheme: challenge for challenge in reversed(challenges)}
        header, life_s = "", float("inf")
        if self._credentials is not None and self._credentials.bearer:
            header = self._credentials.bearer
        elif "bearer" in by_scheme:
            header, life_s = self._bearer(by_scheme["bearer"].params, scope)
        elif "basic" in by_scheme and self._credentials is not None:
            header = self._credentials.basic
        if header in {"", refused}:
            return None
        with self._lock:
            self._headers[scope] = (header, self._clock() + life_s)
        return header

    def _bearer(self, params: dict[str, str], scope: str) -> tuple[str, float]:
        realm = self._realm(params.get("realm", ""))
        query = {"scope": scope}
        if "service" in params:
            query["service"] = params["service"]
        credentials = self._credentials if self._may_see_us(realm) else None
        if credentials is not self._credentials:
            host = shown(realm.host)
            self.withheld = (
                f"its token server {host} was not shown your credentials, since it is another "
                f"host: if it is the right one, pass --trust-realm {quote(host)}"
            )
        raw = self._ask(realm, query, credentials)
        token = raw.get("token") or raw.get("access_token")
        if not isinstance(token, str) or _TOKEN.fullmatch(token) is None:
            raise self._hostile("its realm answered without a token")
        life = raw.get("expires_in")
        life_s = life if isinstance(life, int) and not isinstance(life, bool) else _LEAST_LIFE_S
        return f"Bearer {token}", min(max(life_s, _LEAST_LIFE_S), _MOST_LIFE_S) * _MARGIN

    def _realm(self, url: str) -> Target:
        try:
            realm = target_of(url)
        except ValueError as error:
            raise self._hostile(f"its realm cannot be used: {error}") from None
        at_home = is_loopback(self._home.host)
        same = realm.host == self._home.host or (at_home and is_loopback(realm.host))
        if realm.scheme == "http" and not (self._home.scheme == "http" and same):
            raise self._hostile(f"its realm {realm.place} is not https")
        if is_loopback(realm.host) and not at_home:
            raise self._hostile(f"its realm {realm.place} is this machine")
        return realm

    def _may_see_us(self, realm: Target) -> bool:
        home, host = self._home.host, realm.host
        if host == home or host in self._trusted:
            return True
        if home.endswith("." + DEFAULT_REGISTRY) and host.endswith("." + DEFAULT_REGISTRY):
            return True
        return "." in host and home.endswith("." + host)

    def _ask(
        self, realm: Target, query: dict[str, str], credentials: Credentials | None
    ) -> dict[str, object]:
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        joint = "&" if "?" in realm.path else "?"
        if credentials is not None and credentials.identity_token:
            method, target = "POST", realm
            form = query | {
                "grant_type": "refresh_token",
                "refresh_token": credentials.identity_token,
                "client_id": _CLIENT,
            }
            body = urlencode(form).encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        else:
            method, body = "GET", None
            target = realm._replace(path=realm.path + joint + urlencode(query))
            if credentials is not None and credentials.basic:
                headers["Authorization"] = credentials.basic
        status, data = self._exchange(method, target, headers, body)
        if status in {401, 403}:
            raise UnauthorizedError(
                self._registry,
                query["scope"],
                f"{realm.place} gives no token ({status})",
                self._advice(),
            )
        if status in BUSY:
            raise BrokenError(f"its realm {realm.place} is busy: it answered {status}")
        if status != _OK:
            raise self._hostile(f"its realm {realm.place} answered {status}")
        try:
            return parse_object(data, most_bytes=_ANSWER_BYTES)
        except InvalidManifestError:
            raise self._hostile(f"its realm {realm.place} answered no JSON object") from None

    def _exchange(
        self, method: str, target: Target, headers: dict[str, str], body: bytes | None
    ) -> tuple[int, bytes]:
        try:
            answer = self._transport.exchange(method, target, headers, body)
            try:
                if answer.is_encoded():
                    raise self._hostile(f"its realm {target.place} answered encoded")
                return answer.status, answer.read(_ANSWER_BYTES)
            finally:
                answer.close()
        except BrokenError as error:
            reason = f"its realm {target.place} cannot be asked: {error}"
            raise BrokenError(reason, slow=error.slow, advice=error.advice) from error
        except OversizeError as error:
            raise self._hostile(f"its realm {target.place} answered too much") from error

    def _advice(self) -> str:
        if self._credentials is None:
            return "log in with docker login, or pass --user"
        return self.withheld or "check the user and password, and whether they may do this"

    def _hostile(self, reason: str) -> HostileRegistryError:
        return HostileRegistryError(
            self._registry, "authorization", reason, "do not trust it with credentials"
        )
