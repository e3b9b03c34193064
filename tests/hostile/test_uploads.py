"""A registry that lies while it is pushed to: no credentials abroad, no false success."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import contentdb
from contentdb import oci
from contentdb.errors import ContentDBError
from tests.hostile.guard import BAITS, CREDENTIALS
from tests.hostile.server import (
    LAYER,
    Image,
    Reply,
    Request,
    Server,
    descriptor,
    drip,
    endless,
    manifest_reply,
    reply,
    sha,
)

IMAGE = Image()
HOSTILE = oci.HostileRegistryError
OK = b"HTTP/1.1 202 X\r\n"
CHALLENGE = reply(401, WWW_Authenticate='Basic realm="x"')


class Honest:
    """A registry that takes an image; each step may be answered in another way."""

    def __init__(self, **steps: Callable[[Request, Server], Reply | None]) -> None:
        self._steps = steps

    def answer(self, request: Request, server: Server) -> Reply | None:
        if "authorization" not in request.headers:
            return CHALLENGE
        step = self._step(request)
        if step in self._steps:
            return self._steps[step](request, server)
        if step == "begin":
            return reply(202, Location="/v2/a/b/blobs/uploads/1?state=x")
        if step == "chunk":
            return reply(202, Location=request.path)
        if step == "read_back":
            return manifest_reply(IMAGE.manifest)
        return reply({"look": 404, "upload": 201, "name": 201}[step])

    @staticmethod
    def _step(request: Request) -> str:
        if "/manifests/" in request.path:
            return {"PUT": "name", "GET": "read_back"}.get(request.method, "look")
        steps = {"POST": "begin", "PUT": "upload", "PATCH": "chunk"}
        return steps.get(request.method, "look")


def told(data: bytes, **headers: str) -> Callable[[Request, Server], Reply | None]:
    return lambda _request, _server: reply(202, data, **headers)


def status(code: int) -> Callable[[Request, Server], Reply | None]:
    return lambda _request, _server: reply(code, b'{"errors":[{"code":"DENIED"}]}')


class Attack(NamedTuple):
    registry: Honest
    kind: type[ContentDBError]


ATTACKS: dict[str, Attack] = {
    "upload nowhere": Attack(Honest(begin=told(b"")), HOSTILE),
    "upload to a file": Attack(Honest(begin=told(b"", Location="file:///tmp/x")), HOSTILE),
    "upload with a user": Attack(
        Honest(begin=told(b"", Location="http://a:b@127.0.0.1/")), HOSTILE
    ),
    "upload to plain http afar": Attack(
        Honest(begin=told(b"", Location="http://192.0.2.1/x")), HOSTILE
    ),
    "upload to a bad address": Attack(Honest(begin=told(b"", Location="http://[::1/x")), HOSTILE),
    "upload redirected": Attack(
        Honest(begin=lambda _r, _s: reply(307, Location="http://127.0.0.2:9/x")), HOSTILE
    ),
    "chunk leads nowhere": Attack(Honest(chunk=told(b"")), HOSTILE),
    "chunk leads afar": Attack(Honest(chunk=told(b"", Location="http://192.0.2.1/")), HOSTILE),
    "chunk taken that was not sent": Attack(
        Honest(chunk=told(b"", Location="/x", Range="0-999999")), HOSTILE
    ),
    "chunk never in order": Attack(
        Honest(chunk=lambda r, _s: reply(416, Location=r.path, Range="0-5"), upload=status(400)),
        oci.RegistryError,
    ),
    "chunk refused, and its place afar": Attack(
        Honest(chunk=lambda _r, _s: reply(416, Location="http://192.0.2.1/", Range="0-5")), HOSTILE
    ),
    "chunk broken off, for ever": Attack(
        Honest(chunk=lambda _r, _s: iter(()), upload=lambda _r, _s: iter(())),
        oci.UnreachableError,
    ),
    "chunks of a petabyte": Attack(
        Honest(
            begin=told(b"", Location="/v2/a/b/u", OCI_Chunk_Min_Length="9" * 15),
            chunk=status(413),
            upload=status(413),
        ),
        oci.RegistryError,
    ),
    "refused in both ways": Attack(
        Honest(chunk=status(405), upload=status(413)), oci.RegistryError
    ),
    "begun with rubbish": Attack(
        Honest(begin=lambda _r, _s: iter([b"\x00\xff\r\n\r\n"])), oci.UnreachableError
    ),
    "head without end": Attack(
        Honest(begin=lambda _r, _s: endless(OK, b"X-Y: z\r\n" * 100)), oci.UnreachableError
    ),
    "head that crawls": Attack(Honest(begin=lambda _r, s: drip(s, OK)), oci.TooSlowError),
    "digest refused": Attack(Honest(upload=status(400)), oci.RegistryError),
    "upload gone": Attack(Honest(upload=status(404)), oci.ObjectNotFoundError),
    "upload denied": Attack(Honest(upload=status(403)), oci.UnauthorizedError),
    "name denied": Attack(Honest(name=status(403)), oci.UnauthorizedError),
    "other bytes read back": Attack(
        Honest(read_back=lambda _r, _s: manifest_reply(IMAGE.manifest + b"\n")), HOSTILE
    ),
    "read back without end": Attack(
        Honest(read_back=lambda _r, _s: endless(b"HTTP/1.1 200 X\r\n\r\n")), HOSTILE
    ),
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[contentdb.Store]:
    with contentdb.open(tmp_path / "store") as opened:
        for data in (IMAGE.config, IMAGE.layer, IMAGE.manifest):
            opened.add(data)
        yield opened


def push(store: contentdb.Store, name: str) -> oci.Pushed:
    with oci.Registry(
        name,
        plain_http=True,
        credentials=CREDENTIALS,
        grace_s=0.5,
        timeout_s=60,
        pause=lambda _s: None,
    ) as registry:
        return oci.push(
            store, sha(IMAGE.manifest), f"{name}/a/b:v1", registry=registry, chunk_bytes=100_000
        )


@pytest.mark.parametrize("given", ATTACKS.values(), ids=ATTACKS.keys())
def test_a_liar_gets_no_image_taken_for_pushed(given: Attack, store: contentdb.Store) -> None:
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    logger = logging.getLogger()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        with Server(lambda _r: None) as server:
            server.script = lambda request: given.registry.answer(request, server)
            with pytest.raises(given.kind) as caught:
                push(store, server.name)
            assert len(server.requests) <= 96
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    assert server.name in str(caught.value)
    for text in (log.getvalue(), str(caught.value), repr(caught.value)):
        assert not any(bait in text for bait in BAITS)


def test_an_honest_registry_gets_it_whole(store: contentdb.Store) -> None:
    with Server(lambda _r: None) as server:
        server.script = lambda request: Honest().answer(request, server)
        pushed = push(store, server.name)
        chunks = [request for request in server.requests if request.method == "PATCH"]
    assert set(pushed.uploaded) == {sha(IMAGE.config), sha(IMAGE.layer)}
    assert [request.headers["content-range"] for request in chunks] == [
        "0-99999", "100000-199999", "200000-299999", f"300000-{len(IMAGE.layer) - 1}",
    ]  # fmt: skip


def test_an_upload_that_leads_to_another_host_takes_no_credentials_along(
    store: contentdb.Store,
) -> None:
    with (
        Server(lambda _r: reply(500), host="127.0.0.2") as other,
        Server(lambda _r: None) as server,
    ):
        elsewhere = Honest(begin=told(b"", Location=f"http://{other.name}/up"))
        server.script = lambda request: elsewhere.answer(request, server)
        with pytest.raises(ContentDBError):
            push(store, server.name)
        assert other.requests
        assert all("authorization" not in request.headers for request in other.requests)


def test_a_registry_that_takes_no_body_is_given_up(store: contentdb.Store, tmp_path: Path) -> None:
    """Longer than what socket buffers hold, so that our side hangs in sending."""
    big = bytes(32 * 1024 * 1024)
    document = IMAGE.document() | {"layers": [descriptor(LAYER, big)]}
    store.add(big)
    top = store.add(json.dumps(document).encode()).digest
    with Server(lambda _r: None, takes_bodies=False) as server:

        def script(request: Request) -> Reply | None:
            if request.method in {"PUT", "PATCH"}:
                return drip(server, b"", b"")
            return Honest().answer(request, server)

        server.script = script
        with (
            oci.Registry(
                server.name,
                plain_http=True,
                credentials=CREDENTIALS,
                grace_s=0.5,
                least_rate=1e9,
                timeout_s=0.5,
            ) as registry,
            pytest.raises(oci.UnreachableError, match=r"in time|slow|answer within"),
        ):
            oci.push(store, top, f"{server.name}/a/b:v1", registry=registry, jobs=1)
