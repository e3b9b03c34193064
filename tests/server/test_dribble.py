"""A connection that brings its bytes in crumbs: no frame comes whole, and nothing hangs.

``contentdb serve`` lets gRPC wait for the rest of a frame before it looks at it; what it waits
for must always be something that the client sends without an answer.
"""

from __future__ import annotations

import random
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from typing import TYPE_CHECKING

import pytest

from contentdb.digest import Digest
from contentdb.store.connect import connect
from tests.server.test_serve import ended, serve
from tests.server.test_tls import authority, credentials, serve_tls

if TYPE_CHECKING:
    from pathlib import Path

    from contentdb.store.connect import RemoteStore

STREAMS = 4


class Proxy:
    """Stands between, and hands on what clients send in pieces of 1 to so many bytes."""

    def __init__(self, listening: socket.socket, target: str | tuple[str, int]) -> None:
        self._listening = listening
        self._target = target
        self._draw = random.Random(1)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):  # closed by the test
            while True:
                client, _ = self._listening.accept()
                server = socket.socket(self._listening.family)
                server.connect(self._target)
                for work in (self._crumble, client, server), (self._copy, server, client):
                    threading.Thread(target=work[0], args=work[1:], daemon=True).start()

    def _crumble(self, source: socket.socket, target: socket.socket) -> None:
        sent = 0
        with suppress(OSError), closing(target):
            while data := source.recv(1 << 16):
                while data:
                    size = self._draw.randrange(1, 8 if sent < 2_000 else 900)
                    target.sendall(data[:size])
                    sent, data = sent + size, data[size:]

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError), closing(target):
            while data := source.recv(1 << 16):
                target.sendall(data)


def use(store: RemoteStore) -> None:
    """Several streams of one connection, each of many frames, and both ways."""
    contents = [random.Random(number).randbytes(150_000) for number in range(STREAMS)]
    with ThreadPoolExecutor(STREAMS) as threads:
        infos = list(threads.map(store.add, contents))
        assert list(threads.map(lambda info: store.read(info.digest), infos)) == contents
    assert [info.digest for info in store.walk()] == sorted(map(Digest.of, contents))


def test_over_a_unix_socket(tmp_path: Path, socket_path: Path) -> None:
    server = serve(tmp_path / "store", socket_path)
    with ExitStack() as open_things:
        listening = open_things.enter_context(socket.socket(socket.AF_UNIX))
        between = socket_path.with_name("between")
        listening.bind(str(between))
        listening.listen()
        Proxy(listening, str(socket_path))
        use(open_things.enter_context(connect(str(between))))
    server.terminate()
    assert ended(server) == (0, "")


@pytest.mark.real("openssl")
def test_over_tls(tmp_path: Path) -> None:
    ours = authority(tmp_path / "ours")
    server, address = serve_tls(tmp_path / "store", ours)
    with ExitStack() as open_things:
        listening = open_things.enter_context(socket.create_server(("localhost", 0)))
        Proxy(listening, ("localhost", int(address.rpartition(":")[2])))
        between = f"localhost:{listening.getsockname()[1]}"
        use(open_things.enter_context(connect(between, credentials=credentials(ours, ours))))
    server.terminate()
    assert ended(server) == (0, "")
