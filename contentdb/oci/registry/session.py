"""Requests to one registry: authorization, redirects and retries.

The session follows redirects itself and sends no secret to another origin. It refuses encoded
content, and retries a few times when the server is busy or the connection breaks.
"""

# Long: one class has the policy of one request.

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn
from urllib.parse import urljoin

from contentdb.errors import InvalidArgumentError
from contentdb.logs import inform
from contentdb.oci.errors import (
    HostileRegistryError,
    UploadBrokenError,
    given_up,
)
from contentdb.oci.failures import BUSY, BrokenError
from contentdb.oci.registry.answer import error_code
from contentdb.oci.registry.auth import Authorizer, parse_challenges
from contentdb.oci.registry.bodies import Body
from contentdb.oci.registry.endpoint import Endpoint
from contentdb.oci.registry.redirects import REDIRECTS, check_write, lead
from contentdb.oci.registry.statuses import error_of
from contentdb.oci.registry.transport import Transport
from contentdb.oci.registry.tries import Tries, retry_after
from contentdb.oci.registry.url import target_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import BinaryIO

    from contentdb.oci.registry.answer import Answer
    from contentdb.oci.registry.credentials import Credentials
    from contentdb.oci.registry.proxy import Proxies
    from contentdb.oci.registry.url import Target

__all__ = ["Session"]

_MOST_HOPS: Final = 5


class Session:
    """Requests to one registry, authorized and retried. Thread-safe.

    The arguments are those of `contentdb.oci.registry.registry.Registry`.
    """

    def __init__(  # noqa: PLR0913 - each is an independent setting of a connection
        self,
        name: str,
        *,
        credentials: Credentials | None = None,
        place: Endpoint | None = None,
        plain_http: bool = False,
        insecure: bool = False,
        ca: str | None = None,
        cert: tuple[str, str | None] | None = None,
        trusted_realms: Iterable[str] = (),
        proxies: Proxies | None = None,
        retries: int = 4,
        timeout_s: float = 300.0,
        grace_s: float = 30.0,
        least_rate: float = 1024.0,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        if retries < 0:
            raise InvalidArgumentError(f"{retries} is no count of retries")
        self.name = name
        self.place = place or Endpoint.of(name, plain_http=plain_http, insecure=insecure)
        self.home = target_of(self.place.root)
        if proxies is not None:
            proxies.choose(self.home)  # raises now if it cannot be used
        self.retries = retries
        self._transport = Transport(
            self.home.origin,
            ca=(*self.place.ca, *([] if ca is None else [ca])),
            cert=self.place.cert or cert,
            verified=self.place.verified,
            proxies=proxies,
            timeout_s=timeout_s,
            grace_s=grace_s,
            least_rate=least_rate,
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

    def speaks(self) -> bool:
        """Return whether a server answers there, whatever it says; try once."""
        try:
            self._transport.exchange("GET", self.home, {"Accept-Encoding": "identity"}).close()
        except BrokenError:
            return False
        return True

    def tries(self) -> Tries:
        """Return the count of a new step's tries."""
        return Tries(self.retries, self.pause)

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
        as_stored: bool = False,
    ) -> Answer:
        """Send a request, with authorization, redirects and retries; return an answer in ``ok``.

        The caller checks the body's digest if it is taken ``as_stored``: see `Answer.is_encoded`.

        A body that is a file begins at its position. It is an upload's: after a failure the
        registry may have taken any part of it, so this method does not retry then.

        Raises:
            UploadBrokenError: The body is a file, and it may have been sent in part.
            RegistryError: The request failed for good.
        """
        target = self._target(path, thing)
        scope = self.place.scope(scope)
        whole, tries = Body(body), self.tries()
        while True:
            try:
                answer = self._send_authorized(method, target, thing, scope, headers, whole)
            except BrokenError as error:
                self._try_again(error, thing, whole, tries)
                continue
            if answer.status in ok:
                if answer.is_encoded(as_stored=as_stored):
                    answer.close()
                    self.refuse(thing, "it sends content encoded, though asked not to")
                return answer
            if answer.status not in BUSY:
                self._fail(answer, thing, anonymous=self._authorizer.header(scope) is None)
            after_s = retry_after(answer.headers.get("Retry-After"))
            if whole.is_stream:
                answer.close()
                reason = f"it answers {answer.status}"
                raise UploadBrokenError(self.name, thing, reason, after_s=after_s)
            if not tries.again(after_s):
                self._fail(answer, thing, anonymous=False)
            answer.close()
            inform("oci", "trying again", registry=self.name, thing=thing, status=answer.status)

    def _try_again(self, error: BrokenError, thing: str, body: Body, tries: Tries) -> None:
        """Wait for the next try after a broken exchange, or raise if there is to be none."""
        final = error.slow or error.advice
        if not final and body.is_stream and not body.is_untouched:
            raise UploadBrokenError(self.name, thing, str(error)) from error
        if final or not tries.again():
            advice = error.advice or "check the name and the network, then try again"
            raise given_up(error, self.name, thing, advice) from error
        inform("oci", "trying again", registry=self.name, thing=thing, why=error)

    def _send_authorized(
        self,
        method: str,
        target: Target,
        thing: str,
        scope: str,
        headers: Mapping[str, str],
        body: Body,
    ) -> Answer:
        known = self._authorizer.header(scope)
        if known is None and body.is_stream:
            known = self._authorize_stream(scope)
        answer = self._follow(method, target, thing, known, headers, body)
        if answer.status != 401 or not body.rewind():  # noqa: PLR2004 - HTTP
            return answer
        challenges = parse_challenges(answer.headers.getlist("WWW-Authenticate"))
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
        """Get an authorization before sending a stream, which may be long."""
        headers = {"Accept-Encoding": "identity", **dict(self.place.headers)}
        answer = self._transport.exchange("GET", self.home, headers)
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
        body: Body,
    ) -> Answer:
        """Send a request and follow redirects; only the registry's origin sees the secret."""
        for _ in range(_MOST_HOPS + 1):
            own = dict(self.place.headers) if target.origin == self.home.origin else {}
            sent = {"User-Agent": "contentdb", "Accept-Encoding": "identity", **own, **headers}
            if authorization is not None and target.origin == self.home.origin:
                sent["Authorization"] = authorization
            answer = self._transport.exchange(method, target, sent, body.content)
            if answer.status not in REDIRECTS:
                if answer.status == 401 and target.origin != self.home.origin:  # noqa: PLR2004 - HTTP
                    answer.close()
                    self.refuse(thing, f"{target.place}, where it sent us, wants credentials")
                return answer
            answer.close()
            came_from, target = target, self._redirect(answer, target, thing)
            if method not in {"GET", "HEAD"}:
                try:
                    check_write(method, answer.status, came_from, target)
                except ValueError as error:
                    self.refuse(thing, str(error), "push to that place by its own name")
                if not body.rewind():
                    self.refuse(thing, f"it redirects a {method} whose body cannot be sent again")
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
            return lead(url, came_from, self.home)
        except ValueError as error:
            self.refuse(thing, str(error))

    def _target(self, path: str, thing: str) -> Target:
        if "://" in path:
            return self.allowed(path, self.home, thing)
        return self.home._replace(path=self.place.path(path))

    def location(self, answer: Answer, thing: str, asked: str) -> str:
        """Return the absolute URL of an upload's next step, if it is allowed.

        Args:
            answer: The answer with the Location.
            thing: What is sent, for messages.
            asked: The path or URL of the request, which a relative Location goes on from.
        """
        location = answer.headers.get("Location", "")
        if not location:
            self.refuse(thing, "it began an upload without saying where")
        base = asked if "://" in asked else f"{self.home.place}{self.place.path(asked)}"
        url = self._resolve(base, location)
        self.allowed(url, self.home, thing)
        return url

    def _fail(self, answer: Answer, thing: str, *, anonymous: bool) -> NoReturn:
        code = error_code(answer)
        answer.close()
        reason = f"it answers {answer.status}" + (f" {code}" if code else "")
        if answer.proxy is not None:
            reason += f" (through the proxy {answer.proxy})"
        withheld = self._authorizer.withheld
        error = error_of(self.name, thing, answer.status, reason, withheld, anonymous=anonymous)
        error.status, error.code = answer.status, code
        raise error

    def refuse(self, thing: str, reason: str, advice: str = "do not trust this copy") -> NoReturn:
        """Raise `HostileRegistryError` in this registry's name."""
        raise HostileRegistryError(self.name, thing, reason, advice)
