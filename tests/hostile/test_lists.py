"""A registry whose lists have no end, lead elsewhere or are none: bounded, and told."""

import itertools
import json
from collections.abc import Callable
from typing import NamedTuple

import pytest

from contentdb import Digest, oci
from contentdb.oci.registry import pages
from tests.hostile.guard import BAITS, CREDENTIALS
from tests.hostile.server import (
    INDEX,
    MANIFEST,
    Reply,
    Request,
    Script,
    Server,
    descriptor,
    drip,
    endless,
    reply,
)

HOSTILE = oci.HostileRegistryError
SUBJECT = Digest.of(b"subject")
TAGS = b'{"name":"a/b","tags":["v1"]}'
REFERRERS = json.dumps(
    {"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(MANIFEST, b"x")]}
).encode()
_HEAD = b"HTTP/1.1 200 X\r\nContent-Type: " + INDEX.encode() + b"\r\n\r\n"


class Lie(NamedTuple):
    script: Callable[[Request, Server, bytes], Reply]
    """Answers a request; the bytes are an honest page."""
    kind: type[oci.RegistryError] = HOSTILE


def linked(link: str) -> Lie:
    return Lie(lambda _r, _s, page: reply(200, page, Content_Type=INDEX, Link=link))


def saying(data: bytes) -> Lie:
    return Lie(lambda _r, _s, _page: reply(200, data, Content_Type=INDEX))


def _always_new() -> Lie:
    count = itertools.count()
    return Lie(
        lambda _r, _s, page: reply(
            200, page, Content_Type=INDEX, Link=f'<?n={next(count)}>; rel="next"'
        )
    )


def _in_turns(request: Request, _server: Server, page: bytes) -> Reply:
    other = "/v2/1" if request.path == "/v2/2" else "/v2/2"
    return reply(200, page, Content_Type=INDEX, Link=f'<{other}>; rel="next"')


LIES: dict[str, Lie] = {
    "the same page": linked('<?n=1>; rel="next"'),
    "two pages in turns": Lie(_in_turns),
    "always another page": _always_new(),
    "another server": linked('<http://127.0.0.2:9/v2/>; rel="next"'),
    "another port": linked("<http://127.0.0.1:9/v2/>; rel=next"),
    "another scheme": linked('<file:///etc/passwd>; rel="next"'),
    "a user": linked('<http://a:b@127.0.0.1/>; rel="next"'),
    "a bad address": linked('<http://[::1/x>; rel="next"'),
    "a list": saying(b"[]"),
    "rubbish": saying(b"\x00\xff"),
    "deep": saying(b'{"a":' * 100_000),
    "a key twice": saying(b'{"tags":[],"tags":[],"manifests":[],"manifests":[]}'),
    "a text in the list's place": saying(b'{"schemaVersion":2,"tags":"v1","manifests":"v1"}'),
    "a number in the list": saying(b'{"schemaVersion":2,"tags":[1],"manifests":[1]}'),
    "without end": Lie(lambda _r, _s, _p: endless(_HEAD)),
    "crawling": Lie(lambda _r, s, _p: drip(s, _HEAD), oci.TooSlowError),
    "encoded": Lie(
        lambda _r, _s, p: reply(200, p, Content_Type=INDEX, Content_Encoding="gzip"), HOSTILE
    ),
}
ONLY_TAGS = {
    "a tag that is none": saying(b'{"tags":["a b"]}'),
    "a tag that moves the cursor": saying(b'{"tags":["\\u001b[2J"]}'),
    "a long tag": saying(json.dumps({"tags": ["v" * 129]}).encode()),
}


def client(name: str) -> oci.Registry:
    return oci.Registry(
        name, plain_http=True, credentials=CREDENTIALS, grace_s=0.5, pause=lambda _s: None
    )


def check(lie: Lie, page: bytes, use: Callable[[oci.Registry], object]) -> None:
    with Server(lambda _r: None) as server:
        server.script = _wanting_credentials(lambda r: lie.script(r, server, page))
        with client(server.name) as registry, pytest.raises(lie.kind) as caught:
            use(registry)
        assert len(server.requests) <= 128
        assert server.sent <= 24 * 1024 * 1024
    assert server.name in str(caught.value)
    assert not any(bait in f"{caught.value}{caught.value!r}" for bait in BAITS)


def _wanting_credentials(script: Script) -> Script:
    challenge = reply(401, WWW_Authenticate='Basic realm="x"')
    return lambda request: script(request) if "authorization" in request.headers else challenge


@pytest.fixture(autouse=True)
def _few_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "_MOST_PAGES", 100)


@pytest.mark.parametrize("lie", (LIES | ONLY_TAGS).values(), ids=(LIES | ONLY_TAGS).keys())
def test_a_list_of_tags_ends(lie: Lie) -> None:
    check(lie, TAGS, lambda registry: list(registry.tags("a/b")))


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_a_list_of_referrers_ends(lie: Lie) -> None:
    check(lie, REFERRERS, lambda registry: list(registry.referrers("a/b", SUBJECT)))


def test_all_pages_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "_MOST_BYTES", 10 * len(TAGS))
    check(_always_new(), TAGS, lambda registry: list(registry.tags("a/b")))


def test_another_server_is_not_asked_for_the_next_page() -> None:
    with Server(lambda _r: reply(200, TAGS), host="127.0.0.2") as other:
        check(
            linked(f'<http://{other.name}/v2/>; rel="next"'),
            TAGS,
            lambda registry: list(registry.tags("a/b")),
        )
        assert other.requests == []
