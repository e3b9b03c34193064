"""A proxy before an S3 server that does to requests what networks and servers do to them.

A rule sees each request and says what happens: a test's own, or `chaos`, which draws. A late one
had its client cut off: it is kept, and sent on when the test says so or when enough others
have gone by. Signatures stay right, for the proxy passes on the client's Host.
"""

from __future__ import annotations

import http.client
import http.server
import random
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "CUT", "ERROR_IN_200", "FORWARD", "LATE", "LOSE", "SHORT", "SHORTER", "TWICE", "TWICE_LATE",
    "Act", "Proxy", "Request", "answer", "chaos",
]  # fmt: skip

_HOP: Final = {"connection", "content-length", "transfer-encoding", "keep-alive"}
_CODES: Final = {
    403: "AccessDenied",
    409: "OperationAborted",
    500: "InternalError",
    503: "SlowDown",
}


class Request(NamedTuple):
    """What a client asks."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def action(self) -> str:
        """``put``, ``delete`` (of one object or of many), ``list``, ``get`` or ``head``."""
        query = urlsplit(self.path).query
        if self.method == "DELETE" or (self.method == "POST" and "delete" in query):
            return "delete"
        return "list" if "list-type" in query else self.method.lower()

    @property
    def key(self) -> str:
        """The object's key, with the store's prefix."""
        return urlsplit(self.path).path.partition("/")[2].partition("/")[2]


class Act(NamedTuple):
    """What happens to one request."""

    forward: int = 1
    """How often the server gets it before the client is answered."""
    late: bool = False
    """Whether it is kept, to reach the server (once more) later."""
    status: int = 0
    """Answer with this status instead of the server's; -1: close the connection instead."""
    shorten: bool = False
    """Whether the answer ends in the middle of its body."""
    change: Callable[[bytes], bytes] | None = None
    """Makes another body of the server's."""
    until: threading.Event | None = None
    """Wait for this before anything else."""


FORWARD: Final = Act()
CUT: Final = Act(forward=0, status=-1)
"""The connection breaks before the server has the request."""
LOSE: Final = Act(status=-1)
"""It is done, and the answer lost."""
LATE: Final = Act(forward=0, late=True, status=-1)
"""The client is cut off, and the server gets the request later."""
TWICE_LATE: Final = Act(late=True)
"""It is done and answered; a copy of it comes later."""
TWICE: Final = Act(forward=2)
SHORT: Final = Act(shorten=True)
SHORTER: Final = Act(change=lambda body: body[: len(body) // 2])
"""A whole answer with half of the bytes."""
ERROR_IN_200: Final = Act(status=200)
"""An error's document as the body of a success, which S3 is free to send."""


def answer(status: int) -> Act:
    """An error that the server gives without doing anything."""
    return Act(forward=0, status=status)


class Proxy:
    """Forwards to the server at ``endpoint``; its own endpoint is for the store.

    Args:
        endpoint: ``http://host:port`` of the server.
        rule: Says what happens to a request; may be replaced at any time.
        patience: After so many further requests a late one is sent on; None: only by `deliver`.
    """

    def __init__(
        self,
        endpoint: str,
        rule: Callable[[Request], Act] = lambda _request: FORWARD,
        *,
        patience: int | None = None,
    ) -> None:
        self.rule = rule
        self.seen: list[Request] = []
        """Every request that came, without its body."""
        self._host = urlsplit(endpoint).netloc
        self._patience = patience
        self._late: list[tuple[int, Request]] = []
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def endpoint(self) -> str:
        """What the store is told to be its server."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def late(self) -> list[Request]:
        """The requests that are kept."""
        with self._lock:
            return [request for _, request in self._late]

    def deliver(self, *, shuffled: random.Random | None = None) -> int:
        """Send on all that is kept, in order or not; return how many requests that were."""
        with self._lock:
            due, self._late = self._late, []
        requests = [request for _, request in due]
        if shuffled is not None:
            shuffled.shuffle(requests)
        for request in requests:
            with suppress(OSError, http.client.HTTPException):  # the server may be down
                self.forward(request)
        return len(requests)

    def forward(self, request: Request) -> tuple[int, list[tuple[str, str]], bytes]:
        """Let the server answer: its status, headers and body."""
        connection = http.client.HTTPConnection(self._host, timeout=60)
        try:
            connection.putrequest(
                request.method, request.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in request.headers.items():
                if name not in _HOP:
                    connection.putheader(name, value)
            if request.body or request.method in {"PUT", "POST"}:
                connection.putheader("content-length", str(len(request.body)))
            connection.endheaders(request.body or None)
            given = connection.getresponse()
            return given.status, given.getheaders(), given.read()
        finally:
            connection.close()

    def handle(self, request: Request) -> tuple[Act, tuple[int, list[tuple[str, str]], bytes]]:
        """Do to a request what the rule says; give the answer that is left."""
        act = self.rule(request)
        if act.until is not None:
            act.until.wait()
        if act.late:
            with self._lock:
                self._late.append((len(self.seen), request))
        given: tuple[int, list[tuple[str, str]], bytes] = (act.status, [], b"")
        for _ in range(act.forward):
            given = self.forward(request)
        if act.status > 0:
            given = (act.status, [("content-type", "application/xml")], _document(act.status))
        elif act.change is not None:
            given = (given[0], given[1], act.change(given[2]))
        self._send_due()
        return act, given

    def _send_due(self) -> None:
        with self._lock:
            if self._patience is None:
                return
            last = len(self.seen) - self._patience
            due = [request for since, request in self._late if since <= last]
            self._late = [(since, request) for since, request in self._late if since > last]
        for request in due:
            with suppress(OSError, http.client.HTTPException):
                self.forward(request)


def _document(status: int) -> bytes:
    code = _CODES.get(status, "InternalError")
    return b"<Error><Code>%b</Code><Message>said by a test</Message></Error>" % code.encode()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a held request would keep the test from ending
    request_queue_size = 64
    proxy: Proxy

    def handle_error(self, *_: Any) -> None:  # noqa: ANN401 - as the base has it
        """A client that has left is what happens here all the time."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *_: object) -> None:
        pass

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, body)
        proxy = self.server.proxy
        proxy.seen.append(request._replace(body=b""))
        try:
            act, (status, given, answered) = proxy.handle(request)
        except (OSError, http.client.HTTPException):  # no server: the client learns that much
            self.close_connection = True
            return
        if act.status < 0:
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in given:
            if name.lower() not in _HOP:
                self.send_header(name, value)
        is_head = self.command == "HEAD"
        length = dict(given).get("Content-Length", "0") if is_head else str(len(answered))
        self.send_header("content-length", length)
        self.end_headers()
        if act.shorten:
            answered = answered[: len(answered) // 2]
            self.close_connection = True
        if not is_head:
            self.wfile.write(answered)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815 - as the base names them


def chaos(seed: int, *, each: float = 0.15) -> Callable[[Request], Act]:
    """A rule that does one of these to a share ``each`` of the requests, drawn by the seed."""
    rng = random.Random(seed)
    changes = [LATE, TWICE_LATE, TWICE, LOSE, CUT, answer(500), answer(503)]
    reads = [LOSE, CUT, SHORT, answer(500), answer(503)]

    def rule(request: Request) -> Act:
        if rng.random() >= each:
            return FORWARD
        return rng.choice(changes if request.action in {"put", "delete"} else reads)

    return rule
