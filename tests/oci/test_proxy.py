"""Registries behind a proxy: asked through it, with its credentials shown to it alone."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

import contentdb
from contentdb import oci
from contentdb.errors import InvalidArgumentError
from contentdb.oci.registry.url import target_of
from tests.cli.shell import only_line, run
from tests.hostile.guard import CREDENTIALS
from tests.hostile.proxy import Tunnels
from tests.hostile.server import Image, Reply, Request, Server, reply, sha
from tests.oci.test_tls import context

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = Image()
NAME = "registry.example"
USER = "Basic dXNlcjpwQHNz"  # user:p@ss
BASIC = reply(401, WWW_Authenticate='Basic realm="x"')
PLATFORM = "linux/amd64"


def url(place: str) -> str:
    return f"http://user:p%40ss@{place}"


def guarded(request: Request) -> Reply:
    return IMAGE.answer(request) if "authorization" in request.headers else BASIC


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of the registry's, which is its own authority."""
    folder = tmp_path_factory.mktemp("keys")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}",
         "-keyout", str(folder / "server.key"), "-out", str(folder / "server.pem")],
        check=True, capture_output=True,
    )  # fmt: skip
    (folder / "ca.pem").write_bytes((folder / "server.pem").read_bytes())
    return folder


def test_http_is_asked_for_by_its_whole_url(tmp_path: Path) -> None:
    with contentdb.open(tmp_path / "store") as store, Server(lambda _r: None) as proxy:
        there = f"http://{NAME}"
        proxy.script = lambda r: guarded(r._replace(path=r.path.removeprefix(there)))
        with oci.Registry(
            NAME,
            plain_http=True,
            insecure=True,
            credentials=CREDENTIALS,
            proxies=oci.Proxies(http=url(proxy.name)),
        ) as registry:
            oci.pull(store, f"{NAME}/a/b:v1", registry=registry, platform=PLATFORM)
        asked = list(proxy.requests)
        assert store.read(sha(IMAGE.layer)) == IMAGE.layer
    assert [request.path for request in asked[:2]] == [f"{there}/v2/a/b/manifests/v1"] * 2
    for request in asked:
        assert request.headers["host"] == NAME
        assert request.headers["proxy-authorization"] == USER
        assert request.headers.get("authorization", CREDENTIALS.basic) == CREDENTIALS.basic


@pytest.mark.real("openssl")
def test_https_goes_through_a_tunnel_in_which_the_proxy_is_no_party(
    keys: Path, tmp_path: Path
) -> None:
    with (
        contentdb.open(tmp_path / "store") as store,
        Server(guarded, tls=context(keys)) as server,
        Tunnels(lambda _r: [b"HTTP/1.1 200 OK\r\nVia: x\r\n\r\n"], server.name) as proxy,
        oci.Registry(
            NAME,
            ca=str(keys / "ca.pem"),
            credentials=CREDENTIALS,
            proxies=oci.Proxies(https=url(proxy.name)),
        ) as registry,
    ):
        oci.pull(store, f"{NAME}/a/b:v1", registry=registry, platform=PLATFORM, jobs=1)
        assert store.read(sha(IMAGE.layer)) == IMAGE.layer
        assert len(server.requests) > len(proxy.requests), "a tunnel is used again"
        for request in proxy.requests:
            assert request[:2] == ("CONNECT", f"{NAME}:443")
            assert request.headers["host"] == f"{NAME}:443"
            assert request.headers["proxy-authorization"] == USER
            assert "authorization" not in request.headers
        for request in server.requests:
            assert "proxy-authorization" not in request.headers


@pytest.mark.real("openssl")
def test_a_tunnel_to_another_server_is_found_out(keys: Path) -> None:
    """What a proxy that reads along shows instead of the registry's certificate."""
    with (
        Server(guarded, tls=context(keys)) as server,
        Tunnels(lambda _r: [b"HTTP/1.1 200 OK\r\n\r\n"], server.name) as proxy,
        oci.Registry(
            "other.example", ca=str(keys / "ca.pem"), proxies=oci.Proxies(https=url(proxy.name))
        ) as registry,
    ):
        with pytest.raises(oci.UnreachableError, match=r"not trusted.*through the proxy"):
            registry.manifest("a/b", "v1")
        assert server.requests == []


def test_this_machine_is_reached_directly(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "socks5://127.0.0.1:9")
    with Server(IMAGE.answer) as server:
        done = run(root, "pull", "--plain-http", f"{server.name}/a/b:v1")
    assert only_line(done.stdout) == sha(IMAGE.manifest)


def test_the_command_takes_the_proxies_of_the_environment(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Server(lambda _r: reply(403)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", url(proxy.name))
        done = run(root, "pull", f"{NAME}/a/b:v1")
        assert [request[:2] for request in proxy.requests] == [("CONNECT", f"{NAME}:443")]
    assert done.returncode == 1
    said = only_line(done.stderr)
    assert f"the proxy http://{proxy.name} does not connect us: it answers 403" in said
    assert "p@ss" not in said
    assert "p%40ss" not in said
    monkeypatch.setenv("HTTPS_PROXY", "socks5://user:secret@127.0.0.1:9")
    refused = run(root, "pull", f"{NAME}/a/b:v1")
    assert refused.returncode == 2
    assert "SOCKS" in only_line(refused.stderr)
    assert b"secret" not in refused.stderr


def test_a_library_does_not_read_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:9")
    oci.Registry(NAME).close()


def test_a_proxy_is_no_leave_to_use_plain_http() -> None:
    with pytest.raises(InvalidArgumentError, match="another machine"):
        oci.Registry(NAME, plain_http=True, proxies=oci.Proxies(http="http://127.0.0.1:9"))


@pytest.mark.parametrize("wrong", [
    "socks5://user:secret@host:1", "SOCKS5H://user:secret@host:1", "https://user:secret@host:1",
    "http://user:secret@", "http://user:secret@host:secret", "user:secret@host:99999",
    "http://user:secret@ho st:1", "http://user:secret@host@", "ftp://user:secret@host:1",
])  # fmt: skip
def test_a_proxy_that_cannot_be_used_is_refused_without_its_password(wrong: str) -> None:
    proxies = oci.Proxies(https=wrong)
    assert "secret" not in repr(proxies)
    with pytest.raises(InvalidArgumentError, match=NAME) as caught:
        oci.Registry(NAME, proxies=proxies)
    seen: BaseException | None = caught.value
    while seen is not None:
        assert "secret" not in f"{seen!s}{seen!r}"
        seen = seen.__cause__ or seen.__context__


@pytest.mark.parametrize(("given", "place", "secret"), [
    ("http://proxy.example:3128", "http://proxy.example:3128", None),
    ("proxy.example:3128", "http://proxy.example:3128", None),
    ("HTTP://proxy.example/", "http://proxy.example:80", None),
    ("http://[::1]:3128", "http://[::1]:3128", None),
    ("http://user:p%40ss@proxy.example:1", "http://proxy.example:1", USER),
    ("user:p@ss@proxy.example:1", "http://proxy.example:1", USER),
    ("http://user@proxy.example:1", "http://proxy.example:1", "Basic dXNlcjo="),
])  # fmt: skip
def test_how_a_proxy_is_named(given: str, place: str, secret: str | None) -> None:
    found = oci.Proxies(https=given).choose(target_of(f"https://{NAME}"))
    assert found is not None
    assert (found.place, found.authorization) == (place, secret)
    assert USER not in repr(found)


@pytest.mark.parametrize(("direct", "server", "is_direct"), [
    ("", "https://a.example", False), ("*", "https://a.example", True),
    ("a.example", "https://a.example", True), ("A.Example", "https://a.example", True),
    ("example", "https://a.example", True), (".example", "https://a.example", True),
    ("*.example", "https://a.example", True), ("ample", "https://a.example", False),
    ("b.example, a.example ,", "https://a.example", True),
    ("b.example a.example", "https://a.example", True), (" ", "https://a.example", False),
    ("a.example:5000", "https://a.example:5000", True),
    ("a.example:5000", "https://a.example", False),
    ("a.example:443", "https://a.example", True), ("a.example", "https://a.example.", True),
    (".", "https://a.example", False), ("a.example:x", "https://a.example", False),
    ("10.0.0.0/8", "https://10.1.2.3", True), ("10.0.0.0/8", "https://11.1.2.3", False),
    ("10.1.2.3", "https://10.1.2.3", True), ("10.1.2.3:5000", "https://10.1.2.3:5000", True),
    ("10.1.2.3:5000", "https://10.1.2.3", False), ("2.3", "https://10.1.2.3", False),
    ("fd00::/8", "https://[fd00::1]:5000", True), ("[fd00::1]", "https://[fd00::1]", True),
    ("[fd00::1]:5000", "https://[fd00::1]:5000", True), ("fd00::2", "https://[fd00::1]", False),
    ("", "https://localhost", True), ("", "https://127.9.9.9:1", True), ("", "https://[::1]", True),
])  # fmt: skip
def test_what_is_reached_without_a_proxy(direct: str, server: str, *, is_direct: bool) -> None:
    proxies = oci.Proxies(https="http://proxy.example:1", direct=direct)
    assert (proxies.choose(target_of(server)) is None) == is_direct


@pytest.mark.parametrize(("environment", "http", "https"), [
    ({}, "", ""),
    ({"HTTP_PROXY": "a", "HTTPS_PROXY": "b"}, "a", "b"),
    ({"http_proxy": "a", "https_proxy": "b"}, "a", "b"),
    ({"ALL_PROXY": "c"}, "c", "c"), ({"all_proxy": "c", "https_proxy": "b"}, "c", "b"),
    ({"HTTPS_PROXY": "a", "https_proxy": "b"}, "", "b"),
    ({"HTTPS_PROXY": "a", "https_proxy": ""}, "", ""),
    ({"HTTP_PROXY": "a", "REQUEST_METHOD": "GET"}, "", ""),
    ({"http_proxy": "a", "REQUEST_METHOD": "GET"}, "a", ""),
])  # fmt: skip
def test_what_the_environment_says(environment: dict[str, str], http: str, https: str) -> None:
    assert oci.proxies_of(environment) == oci.Proxies(http, https)
    assert oci.proxies_of({**environment, "NO_PROXY": "x,y"}).direct == "x,y"
    assert oci.proxies_of({**environment, "NO_PROXY": "x", "no_proxy": "y"}).direct == "y"
