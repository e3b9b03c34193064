"""A scripted proxy on loopback, which opens tunnels to a server of the test's, or lies."""

from __future__ import annotations

import socket
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING, Self

from tests.hostile.server import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Tunnels"]


class Tunnels:
    """A proxy for https: gives each CONNECT an answer, and connects it to ``server`` or to nothing.

    An answer without end is sent until the client leaves.
    """

    def __init__(
        self, answer: Callable[[Request], Iterable[bytes]], server: str | None = None
    ) -> None:
        self._answer = answer
        self._server = server
        self.requests: list[Request] = []
        self._open: list[socket.socket] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.name = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._threads = [Thread(target=self._accept)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for sock in [self._socket, *self._open]:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join()

    def _run(self, work: Callable[..., None], *given: socket.socket) -> None:
        self._threads.append(Thread(target=work, args=given))
        self._threads[-1].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock = self._socket.accept()[0]
                self._open.append(sock)
                self._run(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        with suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                piece = sock.recv(1)
                if not piece:
                    return
                head += piece
            first, *lines = head.decode().split("\r\n")
            fields = (line.partition(": ") for line in lines if line)
            method, target, _ = first.split(" ")
            request = Request(method, target, {name.lower(): value for name, _, value in fields})
            self.requests.append(request)
            for piece in self._answer(request):
                sock.sendall(piece)
            if self._server is None:
                sock.shutdown(socket.SHUT_RDWR)
                return
            host, _, port = self._server.partition(":")
            there = socket.create_connection((host, int(port)))
            self._open.append(there)
            self._run(_copy, there, sock)
            _copy(sock, there)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
