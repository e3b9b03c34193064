"""``contentdb serve`` as a program: from its start to each of its ends."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

import contentdb
from contentdb.cli.app import contentdb as command
from contentdb.server.daemon import Server
from contentdb.server.guard import SocketGuard
from contentdb.store.connect import connect
from contentdb.wire.addresses import Address

if TYPE_CHECKING:
    from pathlib import Path


LISTEN = ("--tls-key", __file__, "--tls-cert", __file__, "--tls-client-ca", __file__, "--listen")


def serve(root: Path, socket_path: Path, *more: str) -> subprocess.Popen[str]:
    """Start a server, and wait until it serves."""
    words = [sys.executable, "-m", "contentdb", "--root", str(root), "serve"]
    words += ["--socket", str(socket_path), *more]
    server = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    line = server.stderr.readline()
    if line != f"serving on {socket_path}\n":
        server.kill()
        pytest.fail(line + server.stderr.read())
    return server


@pytest.mark.parametrize("_", range(5))
def test_a_signal_is_heard_in_any_moment_of_its_life(
    tmp_path: Path, socket_path: Path, _: int
) -> None:
    """It may come while the main thread falls asleep, or to another thread of the process."""
    server = serve(tmp_path / "store", socket_path)
    server.terminate()
    assert ended(server) == (0, "")


def ended(server: subprocess.Popen[str]) -> tuple[int, str]:
    _, told = server.communicate(timeout=60)
    return server.returncode, told


def test_the_name_of_a_socket_paints_nothing(tmp_path: Path, socket_path: Path) -> None:
    """It is told in one line, with what is not printable escaped."""
    path = socket_path.parent / "a\x1b[31m\nserving on b\u202e"
    words = [sys.executable, "-m", "contentdb", "--root", str(tmp_path / "store"), "serve"]
    with subprocess.Popen(
        [*words, "--socket", str(path)], stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stderr is not None
        line = server.stderr.readline()
        server.terminate()
        assert ended(server) == (0, "")
    assert line == f"serving on {socket_path.parent}/a\\x1b[31m\\nserving on b\\u202e\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_in_order_and_ingests_can_be_resumed(
    tmp_path: Path, socket_path: Path, number: int
) -> None:
    server = serve(tmp_path / "store", socket_path, "--grace", "0")
    with connect(str(socket_path)) as client:
        writer = client.writer("r", total=5)
        writer.write(b"hel")
        server.send_signal(number)
        assert ended(server) == (0, "")
        writer.close()
    assert not socket_path.exists()
    server = serve(tmp_path / "store", socket_path)
    with connect(str(socket_path)) as client, client.writer("r", resume=True) as writer:
        assert writer.offset == 3
        writer.write(b"lo")
        assert writer.commit().digest == contentdb.Digest.of(b"hello")
    server.terminate()
    assert ended(server) == (0, "")


def test_a_killed_server_leaves_all_that_it_had(tmp_path: Path, socket_path: Path) -> None:
    """The stale socket is replaced, and the ingest of its last stream goes on."""
    server = serve(tmp_path / "store", socket_path)
    with connect(str(socket_path)) as client:
        done = client.add(b"done")
        writer = client.writer("r")
        writer.write(b"hel")
        server.kill()
        assert ended(server) == (-signal.SIGKILL, "")
        writer.close()
    assert socket_path.exists()
    server = serve(tmp_path / "store", socket_path)
    with connect(str(socket_path)) as client:
        assert client.info(done.digest) == done
        assert client.status("r").offset == 3
    server.terminate()
    assert ended(server) == (0, "")


def test_a_second_server_on_a_live_socket_is_refused(tmp_path: Path, socket_path: Path) -> None:
    server = serve(tmp_path / "store", socket_path)
    words = ["--root", str(tmp_path / "other"), "serve", "--socket", str(socket_path)]
    second = CliRunner().invoke(command, words)
    assert second.exit_code == 1
    assert "another server is listening there" in second.output
    with connect(str(socket_path)) as client:
        client.add(b"the first one lives")
    server.terminate()
    assert ended(server) == (0, "")
    with SocketGuard(socket_path):
        pass


@pytest.mark.parametrize(("more", "offset"), [((), 5), (("--sharing", "isolated"), 0)])
def test_content_is_shared_among_namespaces_or_not(
    tmp_path: Path, socket_path: Path, more: tuple[str, ...], offset: int
) -> None:
    server = serve(tmp_path / "store", socket_path, *more)
    with (
        connect(str(socket_path), namespace="one") as one,
        connect(str(socket_path), namespace="two") as two,
    ):
        digest = one.add(b"hello").digest
        with two.writer("r", expected=digest, resume=True) as writer:
            assert writer.offset == offset
    server.terminate()
    assert ended(server) == (0, "")


def test_it_tells_of_each_call(tmp_path: Path, socket_path: Path, free_port: int) -> None:
    metrics = f"localhost:{free_port}"
    more = ("--log-json", "--log-level", "debug", "--metrics", metrics)
    server = serve(tmp_path / "store", socket_path, *more)
    with connect(str(socket_path)) as client, pytest.raises(contentdb.NotFoundError):
        client.info(contentdb.Digest.of(b"absent"))
    with urllib.request.urlopen(f"http://{metrics}/metrics") as answer:
        assert b'contentdb_rpcs_total{code="NOT_FOUND",rpc="Info"} 1.0' in answer.read()
    server.terminate()
    code, told = ended(server)
    assert code == 0
    calls = [line for line in map(json.loads, told.splitlines()) if line["message"] == "call"]
    assert [(call["rpc"], call["code"]) for call in calls] == [("Info", "NOT_FOUND")]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "give --socket PATH, --listen HOST:PORT, or both"),
        (["--listen", "localhost:0"], "--listen takes --tls-key"),
        (["--socket", "s", "--metrics", "9000"], "--metrics takes HOST:PORT"),
        (["--socket", "s", "--metrics", "localhost:99999"], "a port is 0 to 65535"),
        ([*LISTEN, "localhost:70000"], "a port is 0 to 65535"),
        ([*LISTEN, "localhost"], "--listen takes HOST:PORT"),
    ],
)
def test_options_that_cannot_be_right_are_usage(
    tmp_path: Path, words: list[str], told: str
) -> None:
    result = CliRunner().invoke(command, ["--root", str(tmp_path / "store"), "serve", *words])
    assert result.exit_code == 2
    assert told in result.output
    assert not list(tmp_path.iterdir())


def refused(root: Path, *words: str) -> str:
    result = CliRunner().invoke(command, ["--root", str(root), "serve", "--socket", "s", *words])
    assert result.exit_code == 1
    assert not root.exists()
    return result.output


def test_an_address_of_the_metrics_that_is_in_use_is_named(tmp_path: Path, free_port: int) -> None:
    with socket.create_server(("localhost", free_port)):
        told = refused(tmp_path / "store", "--metrics", f"localhost:{free_port}")
    assert f"cannot listen on localhost:{free_port}: Address already in use" in told


def test_metrics_without_their_extra_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    told = refused(tmp_path / "store", "--metrics", "localhost:0")
    assert "needs the extra: pip install 'contentdb[metrics]'" in told


def test_metrics_listen_on_ipv6() -> None:
    assert Address.parse("[::1]:9191") == ("::1", 9191)
    assert str(Address("::1", 9191)) == "[::1]:9191"


@pytest.mark.parametrize("name", ["a%41b", "a%zz", "a b?c#d", "\N{SNOWMAN}", "%"])
def test_a_socket_may_have_any_name(tmp_path: Path, socket_path: Path, name: str) -> None:
    path = socket_path.parent / name
    with Server(tmp_path / "store") as server:
        server.listen_unix(path)
        server.start()
        assert path.is_socket()
        for address in (str(path), f"unix:{path}"):
            with connect(address) as store:
                assert store.add(b"hello").size == 5
    assert not path.exists()


def test_a_socket_inside_the_store_is_refused(root: Path) -> None:
    """4.4b: the store that it is to serve, made just now, too."""
    told = refused_socket(root, root / "blobs" / "x.sock")
    assert f"it is inside the store at {root}; name a place outside" in told
    assert [path for path in root.rglob("*") if "x.sock" in path.name] == []


def refused_socket(root: Path, path: Path) -> str:
    result = CliRunner().invoke(command, ["--root", str(root), "serve", "--socket", str(path)])
    assert result.exit_code == 1
    return result.output
