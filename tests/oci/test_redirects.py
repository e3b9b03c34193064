"""A write is sent again where its registry says, within that registry; nothing is led elsewhere."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

import contentdb
from contentdb import oci
from contentdb.oci.registry import transport
from contentdb.oci.registry.url import target_of
from tests.cli.shell import wait_until
from tests.hostile.guard import BAITS, CREDENTIALS
from tests.hostile.server import (
    LAYER,
    MANIFEST,
    Image,
    Reply,
    Request,
    Server,
    descriptor,
    manifest_reply,
    reply,
    sha,
)
from tests.hostile.test_uploads import Honest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IMAGE = Image()
STEPS = ("begin", "chunk", "upload", "name")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[contentdb.Store]:
    with contentdb.open(tmp_path / "store") as opened:
        for data in (IMAGE.config, IMAGE.layer, IMAGE.manifest):
            opened.add(data)
        yield opened


def push(store: contentdb.Store, name: str) -> oci.Pushed:
    with oci.Registry(
        name, plain_http=True, credentials=CREDENTIALS, pause=lambda _s: None
    ) as registry:
        top, target = sha(IMAGE.manifest), f"{name}/a/b:v1"
        return oci.push(store, top, target, registry=registry, chunk_bytes=100_000, jobs=1)


def moved(request: Request, status: int = 307, to: str = "") -> bytes:
    joint = "&" if "?" in request.path else "?"
    return reply(status, Location=f"{to}{request.path}{joint}moved=1")


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("step", STEPS)
def test_a_write_is_sent_again_whole_within_its_registry(
    step: str, status: int, store: contentdb.Store
) -> None:
    honest = Honest()
    redirecting = Honest(**{step: lambda request, _server: moved(request, status)})
    with Server(lambda _r: None) as server:

        def script(request: Request) -> Reply | None:
            chosen = honest if "moved=1" in request.path else redirecting
            return chosen.answer(request, server)

        server.script = script
        pushed = push(store, server.name)
        sent = [request for request in server.requests if "moved=1" in request.path]
        first = [r for r in server.requests if r.path + "?moved=1" in {s.path for s in sent}]
    assert set(pushed.uploaded) == {sha(IMAGE.config), sha(IMAGE.layer)}
    assert sent
    assert all("authorization" in request.headers for request in sent)
    bodies = Counter(request.body for request in sent)
    assert all(bodies[request.body] for request in first if request.body)
    if step == "chunk":
        assert b"".join(request.body for request in sent) == IMAGE.layer


@pytest.mark.parametrize("status", [301, 302, 303])
@pytest.mark.parametrize("step", STEPS)
def test_a_write_becomes_no_read(step: str, status: int, store: contentdb.Store) -> None:
    redirecting = Honest(**{step: lambda request, _server: moved(request, status)})
    with Server(lambda _r: None) as server:
        server.script = lambda request: redirecting.answer(request, server)
        with pytest.raises(oci.HostileRegistryError, match=str(status)):
            push(store, server.name)
        assert not any("moved=1" in request.path for request in server.requests)


@pytest.mark.parametrize("step", STEPS)
def test_a_write_is_led_to_no_other_server(step: str, store: contentdb.Store) -> None:
    with (
        Server(lambda _r: reply(201), host="127.0.0.2") as other,
        Server(lambda _r: None) as server,
    ):
        redirecting = Honest(
            **{step: lambda request, _server: moved(request, to=f"http://{other.name}")}
        )
        server.script = lambda request: redirecting.answer(request, server)
        with pytest.raises(oci.HostileRegistryError, match="another server") as caught:
            push(store, server.name)
        assert other.requests == []
    assert not any(bait in str(caught.value) for bait in BAITS)


def test_a_write_is_not_led_in_circles(store: contentdb.Store) -> None:
    redirecting = Honest(upload=lambda request, _server: moved(request))
    with Server(lambda _r: None) as server:
        server.script = lambda request: redirecting.answer(request, server)
        with pytest.raises(oci.HostileRegistryError, match="more than 5 times"):
            push(store, server.name)
        assert len(server.requests) <= 32


def test_a_place_of_an_upload_elsewhere_may_move_there_and_sees_no_secret(
    store: contentdb.Store,
) -> None:
    def there(request: Request) -> bytes:
        if "moved=1" not in request.path:
            return moved(request)
        return reply(202, Location=request.path) if request.method == "PATCH" else reply(201)

    with Server(there, host="127.0.0.2") as other, Server(lambda _r: None) as server:
        place = f"http://{other.name}/up?state=x"
        honest = Honest(begin=lambda _r, _s: reply(202, Location=place))
        server.script = lambda request: honest.answer(request, server)
        push(store, server.name)
        first = [request for request in other.requests if "moved=1" not in request.path]
        assert len(first) == 2, "the config and the first of the layer; what follows knows the way"
        assert len(other.requests) > 2 * len(first)
        assert all("authorization" not in request.headers for request in other.requests)


def test_a_token_that_ran_out_is_renewed_and_the_body_sent_again(store: contentdb.Store) -> None:
    tokens: list[Request] = []
    honest = Honest()
    with Server(lambda _r: None) as server:
        realm = f'Bearer realm="http://{server.name}/token"'

        def script(request: Request) -> Reply | None:
            if request.path.startswith("/token"):
                tokens.append(request)
                return reply(200, b'{"token":"t%d"}' % len(tokens))
            said = request.headers.get("authorization")
            ran_out = said == "Bearer t2" and "/blobs/" in request.path and request.method == "PUT"
            if said is None or ran_out:
                return reply(401, WWW_Authenticate=realm)
            return honest.answer(request, server)

        server.script = script
        push(store, server.name)
        sent = [r.body for r in server.requests if r.method == "PUT" and "/blobs/" in r.path]
    assert sent == [IMAGE.config, IMAGE.config, b""]


def test_a_body_that_cannot_go_back_is_not_sent_again() -> None:
    class Pipe:
        def read(self, _size: int = -1, /) -> bytes:
            return b""

    with Server(lambda _r: None) as server, oci.Registry(server.name, plain_http=True) as registry:
        server.script = lambda request: moved(request) if request.method == "PUT" else reply(200)
        with pytest.raises(oci.HostileRegistryError, match="cannot be sent again"):
            registry._session.request(
                "PUT", "a/b/blobs/uploads/1", "a/b", scope="", headers={"Content-Length": "0"},
                body=Pipe(),  # type: ignore[arg-type]  # has read()
            )  # fmt: skip


def test_redirects_to_ever_other_servers_leave_few_connections_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "_MOST_IDLE", 4)
    blobs = {sha(data): data for data in (b"%d" % n for n in range(12))}
    parts = [descriptor(LAYER, data) for data in blobs.values()]
    document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": parts[0], "layers": parts[1:]}
    data = json.dumps(document).encode()

    def blob(request: Request) -> Reply:
        return reply(200, blobs[request.path.rpartition("/")[2]])

    with ExitStack() as stack:
        others = [stack.enter_context(Server(blob)) for _ in blobs]
        waiting = iter(others)

        def script(request: Request) -> Reply:
            if request.is_manifest:
                return manifest_reply(data)
            return reply(307, Location=f"http://{next(waiting).name}{request.path}")

        registry = stack.enter_context(Server(script))
        with (
            contentdb.open(tmp_path / "store") as store,
            oci.Registry(registry.name, plain_http=True) as client,
        ):
            oci.pull(store, f"{registry.name}/a/b", registry=client, jobs=1)
            wait_until(lambda: sum(other.connections for other in others) <= 4)
        assert all(other.requests for other in others)


def test_a_port_is_the_one_that_was_written() -> None:
    """Port 0 is no other registry's, by the usual port."""
    assert [target_of(f"https://a.example{port}/").port for port in ("", ":0", ":5000")] == [
        443,
        0,
        5000,
    ]
