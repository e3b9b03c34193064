"""Answers that lie, flood, crawl or lead astray: no wrong blob, no flood, no secret abroad."""

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from contentdb import oci
from contentdb.errors import ContentDBError
from tests.hostile.guard import CANARY, TOKEN, attack
from tests.hostile.server import (
    MANIFEST,
    Image,
    Reply,
    Request,
    Server,
    drip,
    endless,
    manifest_reply,
    reply,
    sha,
)

IMAGE = Image()
HALF = len(IMAGE.layer) // 2
OK = b"HTTP/1.1 200 X\r\n"
BOMB = gzip.compress(bytes(64 * 1024 * 1024))
HOSTILE = oci.HostileRegistryError
LOST = oci.UnreachableError
SLOW = oci.TooSlowError


class Attack(NamedTuple):
    """What is said instead of the honest answer, and what must come of it."""

    answer: Callable[[Request, Server], Reply | None]
    kind: type[ContentDBError]
    grace_s: float = 5.0
    timeout_s: float = 60.0


def always(data: bytes) -> Callable[[Request, Server], Reply | None]:
    return lambda _request, _server: data


def head(length: int | str, **more: str) -> bytes:
    return reply(200, b"", Content_Length=str(length), Content_Type=MANIFEST, **more)


def one_byte_each(_request: Request, _server: Server) -> Iterator[bytes]:
    yield head(len(IMAGE.layer)) + IMAGE.layer[:1]


def one_byte_more_each(request: Request, _server: Server) -> Iterator[bytes]:
    """Progress, so small that the layer would take 300,000 requests."""
    whole = IMAGE.answer(request)
    yield whole[: whole.index(b"\r\n\r\n") + 5]


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def echoed(before: str) -> Callable[[Request, Server], Reply]:
    """An answer whose first line has what was sent to it as a secret."""

    def answer(request: Request, _server: Server) -> Reply:
        secret = request.headers.get("authorization")
        if secret is None:
            return reply(401, WWW_Authenticate='Basic realm="x"')
        return iter([f"{before}{secret} 200 X\r\n\r\n".encode()])

    return answer


CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

# The same for a manifest and for a layer: what is wrong is the transport.
ANY: dict[str, Attack] = {
    "closes at once": Attack(lambda _r, _s: None, LOST),
    "rubbish for an answer": Attack(lambda _r, _s: iter([b"\x00\xff rubbish\r\n\r\n"]), LOST),
    "no HTTP version": Attack(lambda _r, _s: iter([b"hello\r\n\r\n"]), LOST),
    "status out of range": Attack(lambda _r, _s: iter([b"HTTP/1.1 9999 X\r\n\r\n"]), LOST),
    "status line without end": Attack(lambda _r, _s: endless(b"HTTP/1.1 200 "), LOST),
    "header line without end": Attack(lambda _r, _s: endless(OK + b"X: "), LOST),
    "headers without end": Attack(lambda _r, _s: endless(OK, b"X-Y: z\r\n" * 100), LOST),
    "interim answers without end": Attack(
        lambda _r, s: drip(s, b"", b"HTTP/1.1 100 Continue\r\n\r\n"), SLOW, grace_s=0.5
    ),
    "headers that crawl": Attack(lambda _r, s: drip(s, OK), SLOW, grace_s=0.5),
    "body that crawls": Attack(
        lambda r, s: drip(s, head(400 if r.is_manifest else len(IMAGE.layer))), SLOW, grace_s=0.5
    ),
    "chunk size that crawls": Attack(lambda _r, s: drip(s, CHUNKED, b"0"), SLOW, grace_s=0.5),
    "trailers that crawl": Attack(
        lambda _r, s: drip(s, CHUNKED + b"0\r\n", b"A: b\r\n"), SLOW, grace_s=0.5
    ),
    "nothing at all": Attack(lambda _r, s: drip(s, b"", b""), LOST, timeout_s=0.5),
    "body without end": Attack(lambda _r, _s: endless(OK + b"\r\n"), HOSTILE),
    "chunks without end": Attack(lambda _r, _s: endless(CHUNKED, chunk(b"x" * 65536)), HOSTILE),
    "one chunk without end": Attack(lambda _r, _s: endless(CHUNKED + b"ffffffffff\r\n"), HOSTILE),
    "chunk of negative size": Attack(lambda _r, _s: iter([CHUNKED + b"-5\r\nx"]), ContentDBError),
    "announces 2**62": Attack(lambda _r, _s: endless(head(2**62)), HOSTILE),
    "announces a number without end": Attack(
        lambda _r, _s: iter([head("9" * 5000)]), ContentDBError
    ),
    "announces less than nothing": Attack(lambda _r, _s: iter([head(-5)]), HOSTILE),
    "announces rubbish": Attack(lambda _r, _s: iter([head("0x10")]), HOSTILE),
    "announces two lengths": Attack(
        lambda _r, _s: iter([OK + b"Content-Length: 5\r\nContent-Length: 9\r\n\r\n12345"]),
        ContentDBError,
    ),
    "gzip": Attack(always(reply(200, BOMB, Content_Encoding="gzip")), HOSTILE),
    "deflate": Attack(always(reply(200, b"x", Content_Encoding="deflate")), HOSTILE),
    "br": Attack(always(reply(200, b"x", Content_Encoding="br")), HOSTILE),
    "zstd": Attack(always(reply(200, b"x", Content_Encoding="zstd")), HOSTILE),
    "gzip in capitals": Attack(always(reply(200, BOMB, Content_Encoding="GZIP")), HOSTILE),
    "identity, then gzip": Attack(
        always(reply(200, BOMB, Content_Encoding="identity, gzip")), HOSTILE
    ),
    "many encodings": Attack(always(reply(200, BOMB, Content_Encoding="gzip," * 50)), HOSTILE),
    "a bomb, unannounced": Attack(always(reply(200, BOMB)), ContentDBError),
    "redirects to itself": Attack(lambda r, _s: reply(302, Location=r.path), HOSTILE),
    "redirects for ever": Attack(lambda r, _s: reply(307, Location=r.path + "x"), HOSTILE),
    "redirects nowhere": Attack(always(reply(302)), HOSTILE),
    "redirects to a file": Attack(always(reply(302, Location="file:///etc/passwd")), HOSTILE),
    "redirects to ftp": Attack(always(reply(302, Location="ftp://127.0.0.1/x")), HOSTILE),
    "redirects to a script": Attack(always(reply(302, Location="javascript:x")), HOSTILE),
    "redirects to plain http afar": Attack(
        always(reply(302, Location="http://192.0.2.1/x")), HOSTILE
    ),
    "redirects with a user": Attack(
        always(reply(302, Location="http://a:b@127.0.0.1:9/x")), HOSTILE
    ),
    "redirects to a bad port": Attack(
        always(reply(302, Location="http://127.0.0.1:99999/x")), HOSTILE
    ),
    "redirects to a bad address": Attack(always(reply(302, Location="http://[::1/x")), HOSTILE),
    "redirects to a URL without end": Attack(
        always(reply(302, Location="http://127.0.0.1/" + "a" * 40_000)), HOSTILE
    ),
    "redirects to other bytes": Attack(
        lambda r, _s: reply(200, b"{}") if r.path == "/else" else reply(302, Location="/else"),
        ContentDBError,
    ),
    "always busy": Attack(always(reply(503)), LOST),
    "busy till the end of days": Attack(always(reply(429, Retry_After="9" * 400)), LOST),
    "broken inside": Attack(always(reply(500, b"x" * 100_000)), LOST),
    "forbidden": Attack(always(reply(403)), oci.UnauthorizedError),
    "gone": Attack(always(reply(404, b'{"errors":7}')), oci.ObjectNotFoundError),
    "teapot": Attack(always(reply(418, b"[" * 50_000)), oci.RegistryError),
    "error that echoes": Attack(
        lambda r, _s: reply(
            400, b'{"errors":[{"code":"%s"}]}' % r.headers.get("authorization", "").encode()
        ),
        oci.RegistryError,
    ),
    "head that echoes": Attack(
        lambda r, _s: reply(200, b"x", Broken=f"\r\n{r.headers.get('authorization')}"), LOST
    ),
    "status that echoes": Attack(echoed(""), LOST),
    "version that echoes": Attack(echoed("HTTP/9"), LOST),
    "chunk size that echoes": Attack(echoed(CHUNKED.decode()), LOST),
    "head that echoes after its fields": Attack(
        lambda r, _s: reply(302, Location=f"/x?token={TOKEN}\r\nno field {r.headers}"), LOST
    ),
    "no content": Attack(always(reply(204)), oci.RegistryError),
    "partial, unasked": Attack(
        always(reply(206, b"x", Content_Range="bytes 0-0/1")), ContentDBError
    ),
    "unauthorized, no way in": Attack(always(reply(401)), oci.UnauthorizedError),
    "unauthorized, odd ways in": Attack(
        always(reply(401, WWW_Authenticate='Negotiate, Digest realm="x", =,=,"')),
        oci.UnauthorizedError,
    ),
    "unauthorized whatever we say": Attack(
        always(reply(401, WWW_Authenticate='Basic realm="x"')), oci.UnauthorizedError
    ),
    "challenge without end": Attack(
        always(reply(401, WWW_Authenticate="Bearer " + 'a="b",' * 9000)), HOSTILE
    ),
}

MANIFESTS: dict[str, Attack] = {
    "digest of other bytes": Attack(
        always(reply(200, IMAGE.manifest, Content_Type=MANIFEST, Docker_Content_Digest=sha(b""))),
        HOSTILE,
    ),
    "digest that climbs": Attack(
        always(
            reply(200, IMAGE.manifest, Content_Type=MANIFEST, Docker_Content_Digest="sha256:../..")
        ),
        HOSTILE,
    ),
    "schema 1 in the header": Attack(
        always(
            manifest_reply(
                IMAGE.manifest, "application/vnd.docker.distribution.manifest.v1+prettyjws"
            )
        ),
        HOSTILE,
    ),
    "a page for people": Attack(
        always(reply(200, b"<html>", Content_Type="text/html")), oci.InvalidManifestError
    ),
    "another type in the header": Attack(
        always(manifest_reply(IMAGE.manifest, "application/vnd.oci.image.index.v1+json")),
        oci.InvalidManifestError,
    ),
    "cut short": Attack(
        lambda _r, _s: iter([head(len(IMAGE.manifest)) + IMAGE.manifest[:50]]), LOST
    ),
}

LAYERS: dict[str, Attack] = {
    "other bytes of that length": Attack(always(reply(200, bytes(len(IMAGE.layer)))), HOSTILE),
    "other bytes of that length, said to be gzip": Attack(
        always(reply(200, bytes(len(IMAGE.layer)), Content_Encoding="gzip")), HOSTILE
    ),
    "one bit other": Attack(always(reply(200, IMAGE.layer[:-1] + b"\xfe")), HOSTILE),
    "announced shorter": Attack(always(reply(200, IMAGE.layer[:-1])), HOSTILE),
    "announced longer": Attack(always(reply(200, IMAGE.layer + b"x")), HOSTILE),
    "empty": Attack(always(reply(200)), HOSTILE),
    "longer, unannounced": Attack(
        lambda _r, _s: iter([OK + b"\r\n" + IMAGE.layer + b"x"]), HOSTILE
    ),
    "shorter, unannounced, always": Attack(lambda _r, _s: iter([OK + b"\r\n12345"]), LOST),
    "one byte a connection": Attack(one_byte_each, LOST),
    "one byte more a connection": Attack(one_byte_more_each, LOST),
    "half, then wrong bytes": Attack(
        lambda r, _s: (
            reply(
                206,
                bytes(len(IMAGE.layer) - HALF),
                Content_Range=f"bytes {HALF}-{len(IMAGE.layer) - 1}/{len(IMAGE.layer)}",
            )
            if r.headers.get("range") == f"bytes={HALF}-"
            else iter([head(len(IMAGE.layer)) + IMAGE.layer[:HALF]])
        ),
        HOSTILE,
    ),
}


def ranged(content_range: str, body: bytes = IMAGE.layer[HALF:]) -> Attack:
    """Cut the first connection at the half, and answer the range like this."""

    def answer(request: Request, _server: Server) -> Reply:
        if "range" not in request.headers:
            return iter([head(len(IMAGE.layer)) + IMAGE.layer[:HALF]])
        return reply(206, body, Content_Range=content_range)

    return Attack(answer, HOSTILE)


SIZE = len(IMAGE.layer)
RANGES: dict[str, Attack] = {
    "range missing": ranged(""),
    "range from the start": ranged(f"bytes 0-{SIZE - 1}/{SIZE}", IMAGE.layer),
    "range one early": ranged(f"bytes {HALF - 1}-{SIZE - 1}/{SIZE}", IMAGE.layer[HALF - 1 :]),
    "range one late": ranged(f"bytes {HALF + 1}-{SIZE - 1}/{SIZE}", IMAGE.layer[HALF + 1 :]),
    "range that ends early": ranged(f"bytes {HALF}-{SIZE - 2}/{SIZE}", IMAGE.layer[HALF:-1]),
    "range of a longer whole": ranged(f"bytes {HALF}-{SIZE}/{SIZE + 1}", IMAGE.layer[HALF:] + b"x"),
    "range of an unknown whole, longer": ranged(
        f"bytes {HALF}-{SIZE}/*", IMAGE.layer[HALF:] + b"x"
    ),
    "wrong bytes of an unknown whole": ranged(f"bytes {HALF}-{SIZE - 1}/*", bytes(SIZE - HALF)),
    "range of other units": ranged(f"lines {HALF}-{SIZE - 1}/{SIZE}"),
    "range in capitals": ranged(f"BYTES {HALF}-{SIZE - 1}/{SIZE}"),
    "range backwards": ranged(f"bytes {SIZE - 1}-{HALF}/{SIZE}"),
    "range below zero": ranged(f"bytes -{HALF}-{SIZE - 1}/{SIZE}"),
    "range without end": ranged(f"bytes {HALF}-{'9' * 5000}/{SIZE}"),
    "range with other digits": ranged(f"bytes {HALF}-{SIZE - 1}/{SIZE}x"),
    "range twice": ranged(f"bytes {HALF}-{SIZE - 1}/{SIZE}, bytes 0-1/2"),
    "range of another length": ranged(f"bytes {HALF}-{SIZE - 1}/{SIZE}", IMAGE.layer[HALF:-5]),
    "range in a whole answer": Attack(
        lambda r, _s: (
            reply(200, IMAGE.layer, Content_Range=f"bytes {HALF}-{SIZE - 1}/{SIZE}")
            if "range" in r.headers
            else iter([head(SIZE) + IMAGE.layer[:HALF]])
        ),
        HOSTILE,
    ),
    "parts of ranges": Attack(
        lambda r, _s: (
            reply(206, b"--x\r\n", Content_Type="multipart/byteranges; boundary=x")
            if "range" in r.headers
            else iter([head(SIZE) + IMAGE.layer[:HALF]])
        ),
        HOSTILE,
    ),
    "range refused": Attack(
        lambda r, _s: (
            reply(416, b"x", Content_Range=f"bytes */{SIZE}", Content_Length=str(SIZE))
            if "range" in r.headers
            else iter([head(SIZE) + IMAGE.layer[:HALF]])
        ),
        oci.RegistryError,
    ),
}


def realm(url: str) -> bytes:
    return reply(401, WWW_Authenticate=f'Bearer realm="{url}",service="s",scope="x"')


def tokens(
    answer: Callable[[Request, Server], Reply | None],
) -> Callable[[Request, Server], Reply | None]:
    """Send to a token server of its own, which answers like this."""

    def script(request: Request, server: Server) -> Reply | None:
        if request.path.startswith("/token"):
            return answer(request, server)
        return realm(f"http://{server.name}/token")

    return script


def token(text: str) -> bytes:
    return reply(200, text.encode())


REALMS: dict[str, Attack] = {
    "realm missing": Attack(always(reply(401, WWW_Authenticate="Bearer")), HOSTILE),
    "realm empty": Attack(always(realm("")), HOSTILE),
    "realm a file": Attack(always(realm("file:///etc/passwd")), HOSTILE),
    "realm relative": Attack(always(realm("/token")), HOSTILE),
    "realm with a user": Attack(always(realm("http://a:b@127.0.0.1:9/token")), HOSTILE),
    "realm plain http afar": Attack(always(realm("http://192.0.2.1/token")), HOSTILE),
    "realm with a newline": Attack(always(realm("http://127.0.0.1/to ken")), HOSTILE),
    "realm of another scheme": Attack(always(realm("gopher://127.0.0.1/")), HOSTILE),
    "token not JSON": Attack(tokens(always(token("token"))), HOSTILE),
    "token missing": Attack(tokens(always(token("{}"))), HOSTILE),
    "token empty": Attack(tokens(always(token('{"token":""}'))), HOSTILE),
    "token a number": Attack(tokens(always(token('{"token":5}'))), HOSTILE),
    "token with a line break": Attack(tokens(always(token('{"token":"a\\r\\nX: y"}'))), HOSTILE),
    "token not ASCII": Attack(tokens(always(token('{"token":"ä"}'))), HOSTILE),
    "token twice": Attack(tokens(always(token('{"token":"a","token":"b"}'))), HOSTILE),
    "token too long": Attack(tokens(always(token(f'{{"token":"{"a" * 70_000}"}}'))), HOSTILE),
    "token without end": Attack(tokens(lambda _r, _s: endless(OK + b"\r\n")), HOSTILE),
    "token encoded": Attack(tokens(always(reply(200, BOMB, Content_Encoding="gzip"))), HOSTILE),
    "token elsewhere": Attack(tokens(always(reply(302, Location="http://192.0.2.1/"))), HOSTILE),
    "token refused": Attack(tokens(always(reply(403))), oci.UnauthorizedError),
    "token server broken": Attack(tokens(always(reply(500))), LOST),
    "token server silent": Attack(tokens(lambda _r, _s: None), LOST),
    "token server crawls": Attack(tokens(lambda _r, s: drip(s, OK)), SLOW, grace_s=0.5),
    "token that opens nothing": Attack(
        tokens(always(token(f'{{"token":"{TOKEN}"}}'))), oci.UnauthorizedError
    ),
    "token new each time": Attack(
        tokens(lambda _r, s: token(f'{{"token":"{TOKEN}{len(s.requests)}","expires_in":-5}}')),
        oci.UnauthorizedError,
    ),
    "token of other lives": Attack(
        tokens(always(token(f'{{"token":"{TOKEN}","expires_in":1e99}}'))), oci.UnauthorizedError
    ),
}

ON_MANIFEST = ANY | MANIFESTS | REALMS
ON_LAYER = ANY | LAYERS | RANGES
NOT_FOR_LAYERS = frozenset({"partial, unasked"})


@pytest.mark.parametrize("given", ON_MANIFEST.values(), ids=ON_MANIFEST.keys())
def test_a_manifest_from_a_liar_leaves_nothing_behind(given: Attack, tmp_path: Path) -> None:
    def script_of(server: Server) -> Callable[[Request], Reply | None]:
        return lambda request: given.answer(request, server)

    seen = attack(tmp_path, script_of, grace_s=given.grace_s, timeout_s=given.timeout_s)
    assert isinstance(seen.error, given.kind)
    assert seen.blobs == []
    assert len(seen.requests) <= 64


@pytest.mark.parametrize("given", ON_LAYER.values(), ids=ON_LAYER.keys())
def test_a_layer_from_a_liar_is_never_stored(given: Attack, tmp_path: Path) -> None:
    def script_of(server: Server) -> Callable[[Request], Reply | None]:
        def script(request: Request) -> Reply | None:
            honest = request.is_manifest or request.is_blob(IMAGE.config)
            return IMAGE.answer(request) if honest else given.answer(request, server)

        return script

    seen = attack(tmp_path, script_of, grace_s=given.grace_s, timeout_s=given.timeout_s)
    assert isinstance(seen.error, given.kind)
    assert sha(IMAGE.layer) not in seen.blobs
    assert len(seen.requests) <= 64


def test_another_host_sees_no_credentials_after_a_redirect(tmp_path: Path) -> None:
    with Server(lambda _r: reply(200, IMAGE.layer), host="127.0.0.2") as other:

        def script(request: Request) -> bytes:
            if "authorization" not in request.headers:
                return reply(401, WWW_Authenticate='Basic realm="x"')
            if request.is_blob(IMAGE.layer):
                return reply(307, Location=f"http://{other.name}/elsewhere?signature=1")
            return IMAGE.answer(request)

        seen = attack(tmp_path, lambda _server: script)
        assert seen.error is None
        assert sha(IMAGE.layer) in seen.blobs
        assert [request.path for request in other.requests] == ["/elsewhere?signature=1"]
        assert "authorization" not in other.requests[0].headers


def test_where_a_redirect_leads_is_in_no_log(tmp_path: Path) -> None:
    """A signed URL is a secret: whoever has it may read what it names."""

    def script(request: Request) -> Reply:
        if request.path.startswith("/signed"):
            return reply(200, IMAGE.layer, Broken="\r\nno field")
        if request.is_blob(IMAGE.layer):
            return reply(307, Location=f"/signed?token={TOKEN}")
        return IMAGE.answer(request)

    seen = attack(tmp_path, lambda _server: script)
    assert isinstance(seen.error, LOST)
    assert [request.path for request in seen.requests][-1] == f"/signed?token={TOKEN}"


def test_another_host_that_wants_credentials_gets_none(tmp_path: Path) -> None:
    challenge = reply(401, WWW_Authenticate='Basic realm="x"')
    with Server(lambda _r: challenge, host="127.0.0.2") as other:

        def script(request: Request) -> bytes:
            if request.is_blob(IMAGE.layer):
                return reply(307, Location=f"http://{other.name}/x")
            return IMAGE.answer(request)

        seen = attack(tmp_path, lambda _server: script)
        assert isinstance(seen.error, oci.HostileRegistryError)
        assert all("authorization" not in request.headers for request in other.requests)


def test_a_realm_on_another_host_is_asked_without_credentials(tmp_path: Path) -> None:
    given = token(f'{{"token":"{TOKEN}"}}')
    with Server(lambda _r: given, host="127.0.0.2") as other:

        def script(request: Request) -> bytes:
            if request.headers.get("authorization") != f"Bearer {TOKEN}":
                return realm(f"http://{other.name}/token")
            return IMAGE.answer(request)

        seen = attack(tmp_path, lambda _server: script)
        assert seen.error is None
        assert other.requests
        for request in other.requests:
            assert "authorization" not in request.headers
            assert CANARY not in request.path


def test_a_realm_on_the_same_host_gets_the_credentials_and_the_registry_the_token(
    tmp_path: Path,
) -> None:
    def script_of(server: Server) -> Callable[[Request], Reply | None]:
        def script(request: Request) -> bytes:
            if request.path.startswith("/token"):
                assert request.headers["authorization"].startswith("Basic ")
                return token(f'{{"access_token":"{TOKEN}"}}')
            if request.headers.get("authorization") != f"Bearer {TOKEN}":
                return realm(f"http://{server.name}/token")
            return IMAGE.answer(request)

        return script

    seen = attack(tmp_path, script_of)
    assert seen.error is None
    asked = [request for request in seen.requests if request.path.startswith("/token")]
    assert len(asked) == 1, "a token is kept for its scope"


@pytest.mark.parametrize("home", ["registry.example", "registry.example:5000"])
@pytest.mark.parametrize(
    "url",
    [
        "http://registry.example/x",
        "http://cdn.example/x",
        "https://127.0.0.1/x",
        "https://localhost/x",
    ],
)
def test_https_leads_neither_to_http_nor_to_this_machine(home: str, url: str) -> None:
    with oci.Registry(home) as registry, pytest.raises(oci.HostileRegistryError):
        registry._session.allowed(url, registry._session.home, "thing")


def test_plain_http_to_another_machine_must_be_meant() -> None:
    with pytest.raises(ValueError, match="another machine"):
        oci.Registry("registry.example", plain_http=True)
    oci.Registry("registry.example", plain_http=True, insecure=True).close()


def test_at_least_120_attacks_are_made() -> None:
    from tests.hostile import test_documents

    count = len(ON_MANIFEST) + len(ON_LAYER) + len(test_documents.CHANGES)
    assert count + len(test_documents.INDEXES) >= 120
