"""Requests to one registry: authorization, redirects and retries.

The session follows redirects itself and sends no secret to another origin. It refuses encoded
content, and retries a few times when the server is busy or the connection breaks.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NoReturn
from urllib.parse import urljoin

from contentdb.errors import InvalidArgumentError
from contentdb.logs import inform
from contentdb.oci.documents.strict_json import parse_object
from contentdb.oci.errors import (
    HostileRegistryError,
    InvalidManifestError,
    ObjectNotFoundError,
    RegistryError,
    UnauthorizedError,
    UnreachableError,
    given_up,
)
from contentdb.oci.failures import BUSY, BrokenError, OversizeError
from contentdb.oci.reference import DEFAULT_REGISTRY
from contentdb.oci.registry.auth import Authorizer, parse_challenges
from contentdb.oci.registry.transport import Transport
from contentdb.oci.registry.url import Target, is_loopback, target_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import BinaryIO

    from contentdb.oci.registry.credentials import Credentials
    from contentdb.oci.registry.transport import Answer

__all__ = ["Session"]

_DEFAULT_HOST: Final = "registry-1.docker.io"
_MOST_HOPS: Final = 5
_TRIES: Final = 4
_MOST_PAUSE_S: Final = 30.0
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_ERROR_BYTES: Final = 64 * 1024
_CODE: Final = re.compile(r"[A-Z_]{1,60}")


class Session:
    """Requests to one registry, authorized and retried. Thread-safe.

    The arguments are those of `contentdb.oci.registry.registry.Registry`.
    """

    def __init__(  # noqa: PLR0913 - each is an independent setting of a connection
        self,
        name: str,
        *,
        credentials: Credentials | None = None,
        plain_http: bool = False,
        insecure: bool = False,
        ca: str | None = None,
        cert: tuple[str, str | None] | None = None,
        trusted_realms: Iterable[str] = (),
        grace_s: float = 30.0,
        least_rate: float = 1024.0,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        host = _DEFAULT_HOST if name == DEFAULT_REGISTRY else name
        self.name = name
        self.home = target_of(f"{'http' if plain_http else 'https'}://{host}/v2/")
        if plain_http and not insecure and not is_loopback(self.home.host):
            raise InvalidArgumentError(
                f"{name} is another machine, and plain http shows it everything: "
                "use https, or say that this is meant"
            )
        self._transport = Transport(
            self.home.origin, ca=ca, cert=cert, grace_s=grace_s, least_rate=least_rate
        )
        self._authorizer = Authorizer(
            name, self.home, self._transport, credentials, trusted_realms=trusted_realms
        )
        self.pause = self._transport.pause if pause is None else pause

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def interrupt(self) -> None:
        """Cut the exchanges under way, and refuse new ones until `resume`."""
        self._transport.interrupt()

    def resume(self) -> None:
        """Allow requests again."""
        self._transport.resume()

    def request(
        self,
        method: str,
        path: str,
        thing: str,
        *,
        scope: str,
        headers: Mapping[str, str],
        body: BinaryIO | bytes | None = None,
        ok: tuple[int, ...] = (200, 206),
    ) -> Answer:
        """Send a request, with authorization, redirects and retries; return an answer in ``ok``."""
        target = self._target(path, thing)
        again = body is None or isinstance(body, bytes)
        for attempt in range(1, _TRIES + 1):
            last = attempt == _TRIES or not again
            try:
                answer = self._send_authorized(method, target, thing, scope, headers, body)
            except BrokenError as error:
                if last or error.slow or error.advice:
                    advice = error.advice or "check the name and the network, then try again"
                    raise given_up(error, self.name, thing, advice) from error
                inform("oci", "trying again", registry=self.name, thing=thing, why=error)
                self.pause(0.1 * 2**attempt)
                continue
            if answer.status in ok:
                self._refuse_encoding(answer, thing)
                return answer
            if last or answer.status not in BUSY:
                self._fail(answer, thing, anonymous=self._authorizer.header(scope) is None)
            answer.close()
            inform("oci", "trying again", registry=self.name, thing=thing, status=answer.status)
            self.pause(_retry_after(answer, 0.1 * 2**attempt))
        raise AssertionError  # the last attempt returns or raises

    def _send_authorized(
        self,
        method: str,
        target: Target,
        thing: str,
        scope: str,
        headers: Mapping[str, str],
        body: BinaryIO | bytes | None,
    ) -> Answer:
        known = self._authorizer.header(scope)
        if known is None and body is not None and not isinstance(body, bytes):
            known = self._authorize_stream(scope)
        answer = self._follow(method, target, thing, known, headers, body)
        if answer.status != 401:  # noqa: PLR2004 - HTTP
            return answer
        challenges = parse_challenges(answer.headers.getlist("WWW-Authenticate"))
        if body is not None and not isinstance(body, bytes):
            return answer  # the stream cannot be sent again
        try:
            fresh = self._authorizer.answer(challenges, scope, refused=known)
        except BaseException:
            answer.close()
            raise
        if fresh is None:
            return answer
        answer.close()
        return self._follow(method, target, thing, fresh, headers, body)

    def _authorize_stream(self, scope: str) -> str | None:
        """Get an authorization before sending a stream, which cannot be sent twice."""
        answer = self._transport.exchange("GET", self.home, {"Accept-Encoding": "identity"})
        answer.close()
        if answer.status != 401:  # noqa: PLR2004 - HTTP
            return None
        challenges = parse_challenges(answer.headers.getlist("WWW-Authenticate"))
        return self._authorizer.answer(challenges, scope, refused=None)

    def _follow(
        self,
        method: str,
        target: Target,
        thing: str,
        authorization: str | None,
        headers: Mapping[str, str],
        body: BinaryIO | bytes | None,
    ) -> Answer:
        """Send a request, follow a read's redirects; only the registry's origin sees the secret."""
        for _ in range(_MOST_HOPS + 1):
            sent = {"User-Agent": "contentdb", "Accept-Encoding": "identity", **headers}
            if authorization is not None and target.origin == self.home.origin:
                sent["Authorization"] = authorization
            answer = self._transport.exchange(method, target, sent, body)
            if answer.status not in _REDIRECTS:
                if answer.status == 401 and target.origin != self.home.origin:  # noqa: PLR2004 - HTTP
                    answer.close()
                    self.refuse(thing, f"{target.place}, where it sent us, wants credentials")
                return answer
            answer.close()
            if method not in {"GET", "HEAD"}:
                self.refuse(thing, f"it redirects a {method}")
            target = self._redirect(answer, target, thing)
        return self.refuse(thing, f"it redirects more than {_MOST_HOPS} times")

    def _redirect(self, answer: Answer, target: Target, thing: str) -> Target:
        location = answer.headers.get("Location", "")
        return self.allowed(self._resolve(f"{target.place}{target.path}", location), target, thing)

    @staticmethod
    def _resolve(base: str, location: str) -> str:
        """Resolve a Location; return a malformed one unchanged, so that `allowed` refuses it."""
        try:
            return urljoin(base, location) if location else ""
        except ValueError:
            return location

    def allowed(self, url: str, came_from: Target, thing: str) -> Target:
        """Parse a server's redirect; refuse https to http, and another machine to this one."""
        try:
            target = target_of(url)
        except ValueError as error:
            self.refuse(thing, f"it sends us to another place: {error}")
        if target.scheme == "http" and target.origin != self.home.origin:
            local = is_loopback(target.host) and is_loopback(self.home.host)
            if came_from.scheme == "https" or not local:
                self.refuse(thing, f"it sends us from https or this machine to {target.place}")
        if is_loopback(target.host) and not is_loopback(self.home.host):
            self.refuse(thing, f"it sends us to this machine, {target.place}")
        return target

    def _target(self, path: str, thing: str) -> Target:
        if "://" in path:
            return self.allowed(path, self.home, thing)
        return self.home._replace(path="/v2/" + path)

    def location(self, answer: Answer, thing: str) -> str:
        """Return the absolute URL of an upload's next step, if it is allowed."""
        location = answer.headers.get("Location", "")
        if not location:
            self.refuse(thing, "it began an upload without saying where")
        url = self._resolve(f"{self.home.place}/v2/", location)
        self.allowed(url, self.home, thing)
        return url

    def _refuse_encoding(self, answer: Answer, thing: str) -> None:
        encoding = answer.headers.get("Content-Encoding")
        if encoding is not None and encoding.strip().lower() not in {"", "identity"}:
            answer.close()
            self.refuse(thing, "it sends content encoded, though asked not to")

    def _fail(self, answer: Answer, thing: str, *, anonymous: bool) -> NoReturn:
        status = answer.status
        code = _error_code(answer)
        answer.close()
        reason = f"it answers {status}" + (f" {code}" if code else "")
        if status in {401, 403}:
            advice = (
                "log in with docker login, or pass --user"
                if anonymous
                else "check the user, and what it may do"
            )
            raise UnauthorizedError(self.name, thing, reason, advice)
        if status == 404:  # noqa: PLR2004 - HTTP
            raise ObjectNotFoundError(
                self.name, thing, reason, "check the repository and the tag or digest"
            )
        if status in BUSY:
            raise UnreachableError(self.name, thing, reason, "try again later")
        raise RegistryError(self.name, thing, reason, "see the registry's own log")

    def refuse(self, thing: str, reason: str, advice: str = "do not trust this copy") -> NoReturn:
        """Raise `HostileRegistryError` in this registry's name."""
        raise HostileRegistryError(self.name, thing, reason, advice)


def _retry_after(answer: Answer, default_s: float) -> float:
    """Return the seconds that the server asks to wait, up to `_MOST_PAUSE_S`."""
    text = answer.headers.get("Retry-After", "")
    short_number = text.isascii() and text.isdecimal() and len(text) < 6  # noqa: PLR2004 - a day
    return min(float(text), _MOST_PAUSE_S) if short_number else default_s


def _error_code(answer: Answer) -> str:
    """Return the registry's error code, without its message, which may echo a secret."""
    try:
        raw = parse_object(answer.read(_ERROR_BYTES), most_bytes=_ERROR_BYTES)
        code = raw["errors"][0]["code"]
    except (BrokenError, OversizeError, InvalidManifestError, LookupError, TypeError):
        return ""
    return code if isinstance(code, str) and _CODE.fullmatch(code) else ""
