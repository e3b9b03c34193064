"""A scripted registry on loopback: says what a test wants, byte by byte, and counts."""

import hashlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Self

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def sha(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""

    @property
    def is_manifest(self) -> bool:
        return "/manifests/" in self.path

    def is_blob(self, data: bytes) -> bool:
        return self.path.endswith("/blobs/" + sha(data))


Reply = bytes | Iterable[bytes]
Script = Callable[[Request], Reply | None]


def reply(status: int, body: bytes = b"", **headers: str) -> bytes:
    """An answer; a header whose value is empty is left out, Content-Length included."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    named.setdefault("Content-Length", str(len(body)))
    lines = [f"{name}: {value}" for name, value in named.items() if value]
    return "\r\n".join([f"HTTP/1.1 {status} X", *lines, "", ""]).encode() + body


class Server:
    """Answers each request by its script, one thread a connection; None closes without a word."""

    def __init__(
        self,
        script: Script,
        host: str = "127.0.0.1",
        *,
        tls: ssl.SSLContext | None = None,
        takes_bodies: bool = True,
    ) -> None:
        self.script = script
        self._takes_bodies = takes_bodies
        self._tls = tls
        self.certificates: list[object] = []
        """What each TLS connection showed; None is no certificate."""
        self.requests: list[Request] = []
        self.sent = 0
        self.stopping = threading.Event()
        self._socket = socket.create_server((host, 0))
        self.name = f"{host}:{self._socket.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]
        self._open: set[socket.socket] = set()
        self._threads[0].start()

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._open)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for sock in list(self._open):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._socket.accept()
            except OSError:
                return
            self._open.add(sock)
            thread = threading.Thread(target=self._serve, args=(sock,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        if self._tls is not None:
            try:
                wrapped = self._tls.wrap_socket(sock, server_side=True)
            except OSError:
                sock.close()
                return
            self._open.discard(sock)
            self._open.add(wrapped)
            self.certificates.append(wrapped.getpeercert() or None)
            sock = wrapped
        with sock, sock.makefile("rb") as file:
            try:
                while (
                    not self.stopping.is_set()
                    and (request := _read(file, with_body=self._takes_bodies)) is not None
                ):
                    self.requests.append(request)
                    answer = self.script(request)
                    if answer is None:
                        return
                    if isinstance(answer, bytes):
                        answer = (answer,)
                        again = True
                    else:
                        again = False
                    for piece in answer:
                        sock.sendall(piece)
                        self.sent += len(piece)
                    if not again:
                        return
            except OSError:
                return
            finally:
                self._open.discard(sock)


def _read(file: object, *, with_body: bool) -> Request | None:
    if file.peek(1)[:1] == b"\x16":  # type: ignore[attr-defined]  # TLS, where there is none
        return None
    readline = file.readline  # type: ignore[attr-defined]
    first = readline().decode("latin-1").split()
    if len(first) < 3:
        return None
    headers = {}
    while (line := readline().decode("latin-1").strip()) != "":
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = b""
    if with_body:
        body = file.read(int(headers.get("content-length", "0")))  # type: ignore[attr-defined]
    return Request(first[0], first[1], headers, body)


class Image:
    """A good image of one config and one layer, to be told lies about."""

    def __init__(self) -> None:
        self.config = b'{"architecture":"amd64","os":"linux"}'
        self.layer = bytes(range(256)) * 1200
        self.manifest = json.dumps(self.document()).encode()

    def document(self) -> dict[str, object]:
        return {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(CONFIG, self.config),
            "layers": [descriptor(LAYER, self.layer)],
        }

    def answer(self, request: Request) -> bytes:
        """What an honest registry says."""
        if request.is_manifest:
            return manifest_reply(self.manifest)
        for blob in (self.config, self.layer):
            if request.is_blob(blob):
                return _ranged(request, blob)
        return reply(404, b'{"errors":[{"code":"BLOB_UNKNOWN"}]}')


def descriptor(media_type: str, data: bytes, **more: object) -> dict[str, object]:
    return {"mediaType": media_type, "digest": sha(data), "size": len(data), **more}


def manifest_reply(data: bytes, media_type: str = MANIFEST) -> bytes:
    return reply(200, data, Content_Type=media_type, Docker_Content_Digest=sha(data))


def _ranged(request: Request, blob: bytes) -> bytes:
    wanted = request.headers.get("range")
    if wanted is None:
        return reply(200, blob)
    start = int(wanted.removeprefix("bytes=").removesuffix("-"))
    span = f"bytes {start}-{len(blob) - 1}/{len(blob)}"
    return reply(206, blob[start:], Content_Range=span)


def endless(head: bytes, piece: bytes = b"x" * 65536) -> Iterator[bytes]:
    yield head
    while True:
        yield piece


def drip(server: Server, head: bytes, piece: bytes = b"x") -> Iterator[bytes]:
    """A piece now and then, for ever: each one comes well before a socket's timeout."""
    yield head
    while not server.stopping.wait(0.05):
        yield piece
