"""A proxy that refuses, lies, floods or crawls: a bounded wait, its name told, its password not."""

from __future__ import annotations

import io
import logging
from itertools import repeat
from time import sleep
from typing import TYPE_CHECKING, NamedTuple

import pytest

from contentdb import oci
from tests.hostile.guard import BAITS, CANARY, CREDENTIALS
from tests.hostile.proxy import Tunnels
from tests.hostile.server import Request, Server, drip, reply
from tests.hostile.test_connections import deaf, ends_when_interrupted, mute
from tests.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

NAME = "registry.example"
SECRET = "proxy-" + CANARY
SECRETS = (*BAITS, "dXNlcjpwcm94eS1D")
"""The last is how the user and password begin on the wire."""
LOST = oci.UnreachableError


def url(place: str) -> str:
    return f"http://user:{SECRET}@{place}"


class Lie(NamedTuple):
    answer: Callable[[Request], Iterable[bytes]]
    sentence: str
    tries: int = 3
    """How often it is asked at most, where two retries are allowed."""


def crawl(_request: Request) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 X\r\n"
    while True:
        sleep(0.05)
        yield b"x"


def echo(request: Request) -> Iterable[bytes]:
    secret = request.headers["proxy-authorization"]
    return [f"HTTP/1.1 500 {secret}\r\nX: {secret}\r\n\r\n".encode()]


LIES = {
    "wants credentials": Lie(lambda _r: [reply(407)], "refuses the user and password", 1),
    "forbids": Lie(lambda _r: [reply(403)], "does not connect us.*403.*NO_PROXY", 1),
    "knows no tunnels": Lie(lambda _r: [reply(405)], "does not connect us", 1),
    "redirects": Lie(lambda _r: [reply(302, Location="http://127.0.0.1/")], "answers 302", 1),
    "is busy": Lie(lambda _r: [reply(503)], "answers 503"),
    "repeats the secret": Lie(echo, "answers 500"),
    "repeats it in a broken head": Lie(
        lambda r: [b"HTTP/1.1 200 X\r\n", f"\r\nno field {r.headers}\r\n\r\n".encode()], "TLS|HTTP"
    ),
    "repeats it in no head": Lie(lambda r: [f"{r.headers}\r\n\r\n".encode()], "rules of HTTP"),
    "closes": Lie(lambda _r: [], "closes the connection"),
    "says yes and closes": Lie(lambda _r: [reply(200)], "through the proxy"),
    "says yes and speaks no TLS": Lie(
        lambda _r: [reply(200, Content_Length=""), b"hello" * 100], "TLS fails.*through the proxy"
    ),
    "head without end": Lie(lambda _r: repeat(b"X" * 65536), "rules of HTTP"),
    "fields without end": Lie(
        lambda _r: iter([b"HTTP/1.1 200 X\r\n", *repeat(b"A: b\r\n", 9999)]), "rules of HTTP"
    ),
    "crawls": Lie(crawl, "made too slowly", 1),
}


@pytest.mark.parametrize("given", LIES.values(), ids=LIES.keys())
def test_a_lying_proxy_is_named_without_its_password(given: Lie) -> None:
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    logger = logging.getLogger()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        with (
            Tunnels(given.answer) as proxy,
            oci.Registry(
                NAME,
                credentials=CREDENTIALS,
                proxies=oci.Proxies(https=url(proxy.name)),
                retries=2,
                grace_s=0.5,
                pause=lambda _s: None,
            ) as registry,
        ):
            with pytest.raises(LOST, match=given.sentence) as caught:
                registry.manifest("a/b", "v1")
            assert 1 <= len(proxy.requests) <= given.tries
            assert not any("authorization" in request.headers for request in proxy.requests)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    assert f"the proxy http://{proxy.name}" in str(caught.value)
    assert "--plain-http" not in str(caught.value)
    seen: BaseException | None = caught.value
    while seen is not None:
        assert not any(secret in f"{seen!s}{seen!r}" for secret in SECRETS)
        seen = seen.__cause__ or seen.__context__
    assert not any(secret in log.getvalue() for secret in SECRETS)


@pytest.mark.parametrize(
    ("user", "sentence"), [("", "wants credentials"), ("user:x@", "refuses the user and password")]
)
def test_a_proxy_for_http_that_wants_credentials_is_told_from_the_registry(
    user: str, sentence: str
) -> None:
    with (
        Server(lambda _r: reply(407)) as proxy,
        oci.Registry(
            NAME,
            plain_http=True,
            insecure=True,
            proxies=oci.Proxies(http=f"http://{user}{proxy.name}"),
        ) as registry,
    ):
        with pytest.raises(LOST, match=f"http://{proxy.name} {sentence}.*407"):
            registry.manifest("a/b", "v1")
        assert len(proxy.requests) == 1


def test_what_a_proxy_for_http_answers_is_said_to_come_through_it() -> None:
    with (
        Server(lambda _r: reply(502)) as proxy,
        oci.Registry(
            NAME,
            plain_http=True,
            insecure=True,
            retries=0,
            proxies=oci.Proxies(http=url(proxy.name)),
        ) as registry,
        pytest.raises(LOST, match=f"502 .through the proxy http://{proxy.name}"),
    ):
        registry.manifest("a/b", "v1")


def test_a_registry_that_crawls_behind_a_proxy_is_given_up() -> None:
    with Server(lambda _r: None) as proxy:
        proxy.script = lambda _request: drip(proxy, b"HTTP/1.1 200 X\r\n")
        with (
            oci.Registry(
                NAME,
                plain_http=True,
                insecure=True,
                grace_s=0.5,
                proxies=oci.Proxies(http=url(proxy.name)),
            ) as registry,
            pytest.raises(oci.TooSlowError, match="through the proxy"),
        ):
            registry.manifest("a/b", "v1")


def test_a_proxy_that_is_not_there_is_named() -> None:
    place = f"127.0.0.1:{free_ports(1)[0]}"
    with (
        oci.Registry(NAME, retries=0, proxies=oci.Proxies(https=url(place))) as registry,
        pytest.raises(LOST, match=f"the proxy http://{place} cannot be reached: .*refused"),
    ):
        registry.manifest("a/b", "v1")


@pytest.mark.parametrize("proxy", [deaf, mute])
def test_a_wait_for_a_proxy_is_given_up_when_told(proxy: Callable[[], object]) -> None:
    with proxy() as place, oci.Registry(NAME, proxies=oci.Proxies(https=url(place))) as registry:  # type: ignore[attr-defined]
        watchdog = registry._session._transport._watchdog
        ends_when_interrupted(registry, lambda: bool(watchdog._watched))


def test_a_redirect_takes_no_credentials_through_the_proxy() -> None:
    """To the proxy they belong, and to the registry, but not to where the registry sends us."""

    def script(request: Request) -> bytes:
        if request.method == "CONNECT":
            return reply(403)
        if "authorization" not in request.headers:
            return reply(401, WWW_Authenticate='Basic realm="x"')
        return reply(307, Location="https://cdn.example/x")

    with (
        Server(script) as proxy,
        oci.Registry(
            NAME,
            plain_http=True,
            insecure=True,
            retries=0,
            credentials=CREDENTIALS,
            proxies=oci.Proxies(http=url(proxy.name), https=url(proxy.name)),
        ) as registry,
    ):
        with pytest.raises(LOST):
            registry.manifest("a/b", "v1")
        last = proxy.requests[-1]
    assert (last.method, last.path) == ("CONNECT", "cdn.example:443")
    assert "authorization" not in last.headers
    assert "proxy-authorization" in last.headers
