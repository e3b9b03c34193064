"""The first failure of a pull or push is told at once, whatever the other threads wait for."""

import time
from collections.abc import Callable, Iterator

import pytest

import contentdb
from contentdb import oci
from tests.hostile.server import Image, Reply, Request, Server, manifest_reply, reply, sha

IMAGE = Image()


def busy(_server: Server) -> Reply:
    return reply(503, Retry_After="60")


def silent(server: Server) -> Iterator[bytes]:
    server.stopping.wait(60)
    yield b""


def amid_its_body(server: Server) -> Iterator[bytes]:
    yield f"HTTP/1.1 200 X\r\nContent-Length: {len(IMAGE.layer)}\r\n\r\n123".encode()
    server.stopping.wait(60)


WAITS = [busy, silent, amid_its_body]


@pytest.mark.parametrize("wait", WAITS)
def test_a_pull_does_not_wait_for_a_layer_when_another_failed(
    wait: Callable[[Server], Reply], store: contentdb.Store
) -> None:
    def script(request: Request) -> Reply:
        if request.is_manifest:
            return manifest_reply(IMAGE.manifest)
        if request.is_blob(IMAGE.layer):
            return wait(server)
        time.sleep(0.5)
        return reply(404)

    with Server(script) as server, oci.Registry(server.name, plain_http=True) as registry:
        began = time.monotonic()
        with pytest.raises(oci.ObjectNotFoundError, match=sha(IMAGE.config)):
            oci.pull(store, f"{server.name}/a/b", registry=registry)
        assert time.monotonic() - began < 15


@pytest.mark.parametrize("wait", WAITS[:2])
def test_a_push_does_not_wait_for_a_layer_when_another_failed(
    wait: Callable[[Server], Reply], store: contentdb.Store
) -> None:
    for blob in (IMAGE.config, IMAGE.layer, IMAGE.manifest):
        store.add(blob)

    def script(request: Request) -> Reply:
        if request.is_blob(IMAGE.layer):
            return wait(server)
        time.sleep(0.5)
        return reply(404) if request.method == "HEAD" else reply(403)

    with Server(script) as server, oci.Registry(server.name, plain_http=True) as registry:
        began = time.monotonic()
        with pytest.raises(oci.UnauthorizedError):
            oci.push(store, sha(IMAGE.manifest), f"{server.name}/a/b", registry=registry)
        assert time.monotonic() - began < 15
