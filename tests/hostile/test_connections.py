"""Connections: used for one request after another, let go when spoilt, given up when told so."""

import io
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from threading import Event, Thread
from urllib.parse import urljoin

import pytest

from contentdb import oci
from contentdb.errors import CorruptBlobError
from contentdb.oci.registry.transport import Transport
from contentdb.oci.registry.url import Target, is_loopback, target_of
from contentdb.oci.registry.watchdog import Exchange, Watchdog
from tests.hostile.server import Image, Server, reply

IMAGE = Image()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("body", [b"", b"body"])
def test_a_connection_is_free_once_its_answer_is_closed(method: str, body: bytes) -> None:
    said = reply(200, body) if method == "GET" else reply(200, Content_Length="4")
    with Server(lambda _: said) as server:
        host, port = server.name.split(":")
        target = Target("http", host, int(port), "/")
        with closing(Transport(target.origin)) as transport:
            answers = []
            for _ in range(3):
                answer = transport.exchange(method, target, {})
                if body:
                    answer.read(10)
                answer.close()
                answers.append(answer)  # else its end would free the connection
        assert [request.method for request in server.requests] == [method] * 3


class Spoilt(io.BytesIO):
    """A body that turns out to be damaged while it is sent."""

    def read(self, _size: int | None = -1, /) -> bytes:
        raise CorruptBlobError("sha256:…", "blob", "other bytes")


def test_a_body_that_fails_leaves_no_connection_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(lambda _: None) as server:
        target = target_of(f"http://{server.name}/")
        with closing(Transport(target.origin)) as transport:
            conn = transport._fresh(target)
            monkeypatch.setattr(transport, "_fresh", lambda _: conn)
            with pytest.raises(CorruptBlobError):
                transport.exchange("PUT", target, {}, Spoilt())
            assert conn.sock is None
            assert not transport._watchdog._watched


@contextmanager
def deaf() -> Iterator[str]:
    """A port whose queue is full: nothing that connects to it is answered."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            sock = stack.enter_context(socket.socket())
            sock.settimeout(0)
            sock.connect_ex(listener.getsockname())
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def mute() -> Iterator[str]:
    """A port that takes connections and says nothing, so that TLS never comes about."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def ends_when_interrupted(registry: oci.Registry, begun: Callable[[], bool]) -> None:
    """The bound is far below what the waits would take, and far above what a busy machine needs."""
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            registry.manifest("a/b", "v1")
        except oci.RegistryError as error:
            errors.append(error)

    thread = Thread(target=ask, daemon=True)
    thread.start()
    while not begun():
        time.sleep(0.01)
    registry.interrupt()
    thread.join(15)
    assert [type(error) for error in errors] == [oci.TooSlowError]


@pytest.mark.parametrize(("server", "scheme"), [(deaf, "http"), (mute, "https")])
def test_a_connection_in_the_making_is_given_up(
    server: Callable[[], AbstractContextManager[str]], scheme: str
) -> None:
    with server() as name, oci.Registry(name, plain_http=scheme == "http") as registry:
        watchdog = registry._session._transport._watchdog
        ends_when_interrupted(registry, lambda: bool(watchdog._watched))


def test_a_look_up_of_a_name_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, over = Event(), Event()

    def never(*_: object, **_named: object) -> list[object]:
        asked.set()
        over.wait(60)
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    monkeypatch.setattr(socket, "getaddrinfo", never)
    with oci.Registry("localhost:1", plain_http=True) as registry:
        ends_when_interrupted(registry, asked.is_set)
    over.set()


def test_a_pause_is_given_up_and_nothing_asked_after_it() -> None:
    with (
        Server(lambda _: reply(429, Retry_After="30")) as server,
        oci.Registry(server.name, plain_http=True) as registry,
    ):
        ends_when_interrupted(registry, lambda: bool(server.requests))
        with pytest.raises(oci.TooSlowError):
            registry.manifest("a/b", "v1")
        assert len(server.requests) == 1
        registry.resume()
        server.script = IMAGE.answer
        assert registry.manifest("a/b", "v1").data == IMAGE.manifest


def test_a_fast_start_buys_no_endless_drip() -> None:
    now = 0.0
    dog = Watchdog(grace_s=30, least_rate=1024, clock=lambda: now)
    one, _other = socket.socketpair()
    with one, _other:
        exchange = Exchange(dog, one)
        exchange.moved(1 << 30)
        assert exchange.deadline == 30
        now = 25.0
        exchange.moved(1)
        assert exchange.deadline < 31
        exchange.moved(10 << 20)
        assert exchange.deadline == 55


def test_the_place_of_an_ipv6_host_is_a_url() -> None:
    assert target_of("http://[::1]:5000/v2/").place == "http://[::1]:5000"
    assert urljoin(target_of("http://[::1]:5000/v2/").place, "/x") == "http://[::1]:5000/x"


@pytest.mark.parametrize(
    ("host", "is_here"),
    [
        *((host, True) for host in (
            "localhost", "localhost.", "127.0.0.1", "127.9.9.9", "127.1", "0x7f.1",
            "2130706433", "0177.0.0.1", "127.0.0.1.", "0", "::1", "[::1]", "::",
            "::ffff:127.0.0.1", "::ffff:7f00:1",
        )),
        *((host, False) for host in (
            "registry.example", "a.localhost", "localhost.example", "notlocalhost", "128.0.0.1",
            "10.1", "::2", "::ffff:10.0.0.1", "127.0.0.1.example", "",
        )),
    ],
)  # fmt: skip
def test_this_machine_is_known_however_it_is_written(host: str, *, is_here: bool) -> None:
    assert is_loopback(host) == is_here
