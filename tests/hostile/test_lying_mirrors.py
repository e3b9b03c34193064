"""A mirror that lies is gone past with a warning: it is never believed, and it learns no secret."""

import io
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

import contentdb
from contentdb import oci
from tests.hostile.guard import BAITS, CREDENTIALS
from tests.hostile.server import (
    MANIFEST,
    Image,
    Reply,
    Request,
    Script,
    Server,
    drip,
    endless,
    manifest_reply,
    reply,
    sha,
)

IMAGE = Image()
OTHER = b"x" * len(IMAGE.layer)
TOP = sha(IMAGE.manifest)


def honest(request: Request) -> bytes:
    return IMAGE.answer(request._replace(path=request.path.partition("?")[0]))


Lie = Callable[[Server, Request], Reply | None]


def about_layer(lie: Lie) -> Lie:
    """A mirror that is honest about all but the layer."""
    name = f"/blobs/{sha(IMAGE.layer)}"
    return lambda server, request: lie(server, request) if name in request.path else honest(request)


def about_manifest(lie: Lie) -> Lie:
    return lambda server, request: lie(server, request) if request.is_manifest else honest(request)


def of_length(count: int) -> str:
    return f"HTTP/1.1 200 X\r\nContent-Length: {count}\r\n\r\n"


MANY: dict[str, Lie] = {
    "other manifest": about_manifest(lambda _s, _r: manifest_reply(IMAGE.manifest + b" ")),
    "false digest of a manifest": about_manifest(
        lambda _s, _r: reply(
            200, b"{}", Content_Type=MANIFEST, Docker_Content_Digest=sha(IMAGE.manifest)
        )
    ),
    "endless manifest": about_manifest(lambda _s, _r: endless(b"HTTP/1.1 200 X\r\n\r\n")),
    "redirect to another place": about_manifest(
        lambda _s, _r: reply(307, Location="https://127.0.0.2:1/")
    ),
    "endless redirects": about_manifest(lambda _s, r: reply(307, Location=r.path)),
    "encoded": about_layer(lambda _s, _r: reply(200, b"x", Content_Encoding="gzip")),
    "other bytes": about_layer(lambda _s, _r: reply(200, OTHER)),
    "one wrong byte": about_layer(lambda _s, _r: reply(200, IMAGE.layer[:-1] + b"x")),
    "other length": about_layer(lambda _s, _r: reply(200, b"short")),
    "too short": about_layer(lambda _s, _r: iter([b"HTTP/1.1 200 X\r\n\r\n" + OTHER[:99999]])),
    "too long": about_layer(lambda _s, _r: endless(b"HTTP/1.1 200 X\r\n\r\n")),
    "cut, and wrong": about_layer(
        lambda _s, _r: iter([of_length(len(OTHER)).encode() + OTHER[:150000]])
    ),
    "false range": about_layer(
        lambda _s, _r: reply(206, OTHER, Content_Range=f"bytes 5-{len(OTHER)}/{len(OTHER) + 1}")
    ),
    "dripping": about_layer(
        lambda s, _r: drip(s, of_length(len(IMAGE.layer)).encode()),
    ),
    "wants credentials": lambda _s, _r: reply(401, WWW_Authenticate='Basic realm="x"'),
    "wants them at a realm of its own": lambda s, r: (
        reply(200, b'{"token":"T"}')
        if r.path.startswith("/token")
        else reply(401, WWW_Authenticate=f'Bearer realm="http://{s.name}/token"')
    ),
    "malformed head": lambda _s, _r: b"HTTP/1.1 200 X\r\nbroken\r\n\r\n",
    "not HTTP": lambda _s, _r: b"SSH-2.0\r\n",
}


def by_digest(lie: Lie) -> str:
    """Pulls are by digest where the mirror could say what it likes of a tag."""
    return f"@{TOP}" if lie in [MANY[name] for name in list(MANY)[:3]] else ":v1"


@pytest.mark.parametrize("lie", MANY.values(), ids=MANY)
def test_the_pull_succeeds_by_the_registry(lie: Lie, tmp_path: Path) -> None:
    seen = pull(tmp_path, lie, honest, by_digest(lie))
    assert seen.error is None
    assert seen.blobs == {TOP, sha(IMAGE.config), sha(IMAGE.layer)}
    assert seen.mirror.requests
    assert f"mirror={seen.mirror.name!r}" in seen.log


@pytest.mark.parametrize("name", ["other bytes", "too long", "false range", "endless manifest"])
def test_a_lie_is_a_warning(name: str, tmp_path: Path) -> None:
    assert "WARNING" in pull(tmp_path, MANY[name], honest, by_digest(MANY[name])).log


@pytest.mark.parametrize("name", ["other bytes", "one wrong byte", "too short"])
def test_a_registry_that_lies_as_its_mirror_is_an_error(name: str, tmp_path: Path) -> None:
    def script(request: Request) -> Reply:
        if request.is_blob(IMAGE.layer):
            return reply(200, OTHER)
        return honest(request)

    seen = pull(tmp_path, MANY[name], script, ":v1")
    assert isinstance(seen.error, oci.HostileRegistryError)
    assert seen.source.name in str(seen.error)
    assert sha(IMAGE.layer) not in seen.blobs


def test_a_mirror_that_lied_is_not_asked_again(tmp_path: Path) -> None:
    seen = pull(tmp_path, lambda _s, _r: manifest_reply(b"{}"), honest, f"@{TOP}")
    assert len(seen.mirror.requests) == 1


class Seen:
    def __init__(self, mirror: Server, source: Server) -> None:
        self.mirror, self.source = mirror, source
        self.error: oci.RegistryError | None = None
        self.blobs: set[str] = set()
        self.log = ""


def pull(root: Path, lie: Lie, script: Script, name: str) -> Seen:
    """Pull with the registry's credentials as bait; check that the mirror never sees them."""
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logger = logging.getLogger("contentdb")
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        with (
            Server(lambda _request: None) as mirror,
            Server(script) as source,
            contentdb.open(root / "store") as store,
        ):
            mirror.script = lambda request: lie(mirror, request)
            seen = Seen(mirror, source)
            place = oci.Endpoint.of(source.name, plain_http=True)
            before = oci.Endpoint.at(f"http://{mirror.name}")
            with oci.open_registry(
                source.name,
                oci.Endpoints(place, (before,), place, "hosts.toml"),
                credentials=lambda one: CREDENTIALS if one.name == source.name else None,
                grace_s=0.5,
                pause=lambda _seconds: None,
            ) as registry:
                try:
                    oci.pull(
                        store, f"{source.name}/a/b{name}", registry=registry, platform="linux/amd64"
                    )
                except oci.RegistryError as error:
                    seen.error = error
            seen.blobs = {str(info.digest) for info in store.walk()}
            for digest in seen.blobs:
                assert contentdb.Digest.of(store.path(digest).read_bytes()) == digest
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    seen.log = log.getvalue()
    for bait in BAITS:
        assert bait not in seen.log
        assert bait not in f"{[request.headers for request in mirror.requests]}"
    return seen


def test_bytes_that_a_mirror_left_are_fetched_anew(tmp_path: Path) -> None:
    """The first pull ends amid a mirror's wrong bytes; the second one resumes them."""
    broken = about_layer(lambda _s, _r: iter([of_length(len(OTHER)).encode() + OTHER[:150000]]))

    def lacks_layer(request: Request) -> Reply:
        return reply(404) if request.is_blob(IMAGE.layer) else honest(request)

    first = pull(tmp_path, broken, lacks_layer, ":v1")
    assert isinstance(first.error, oci.ObjectNotFoundError)
    second = pull(tmp_path, lambda _s, _r: reply(404), honest, ":v1")
    assert second.error is None
    assert sha(IMAGE.layer) in second.blobs
