"""Through Debian's tinyproxy, to Debian's docker-registry over http, and to a server over TLS."""

from __future__ import annotations

import socket
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

import contentdb
from contentdb import oci
from contentdb.oci.registry import proxy as proxies
from tests.hostile.server import Image, Server, sha
from tests.oci.test_tls import context, keys
from tests.ports import free_ports
from tests.real.registry import PROGRAMS, blobs_of, make_image, registry, skopeo_copy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.real("tinyproxy", *PROGRAMS)]

__all__ = ["keys"]  # a fixture

USER, PASSWORD = "tester", "let-me-out"
_CONFIG = """\
Port {port}
Listen 127.0.0.1
Allow 127.0.0.1
Timeout 60
LogLevel Connect
BasicAuth {user} {password}
"""


class Running:
    """A tinyproxy: where it is, and what it has written."""

    def __init__(self, place: str, log: Path) -> None:
        self.place = place
        self._log = log

    def has_passed(self, words: str) -> bool:
        return words in self._log.read_text()


@contextmanager
def tinyproxy(folder: Path) -> Iterator[Running]:
    port = free_ports(1)[0]
    config, log = folder / "tinyproxy.conf", folder / "tinyproxy.log"
    config.write_text(_CONFIG.format(port=port, user=USER, password=PASSWORD))
    with (
        log.open("wb") as file,
        subprocess.Popen(["tinyproxy", "-d", "-c", str(config)], stdout=file, stderr=file) as run,
    ):
        try:
            _wait_for(port)
            yield Running(f"127.0.0.1:{port}", log)
        finally:
            run.terminate()


def _wait_for(port: int) -> None:
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    pytest.fail("tinyproxy does not listen")


@pytest.fixture
def through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """A proxy that is used for this machine too, where the servers of these tests are."""
    monkeypatch.setattr(proxies, "is_loopback", lambda _host: False)
    with tinyproxy(tmp_path) as running:
        yield running


def test_an_image_comes_and_goes_over_http(through: Running, tmp_path: Path) -> None:
    image = make_image(tmp_path)
    proxy = oci.Proxies(http=f"http://{USER}:{PASSWORD}@{through.place}")
    with registry(tmp_path / "registry") as host, contentdb.open(tmp_path / "store") as store:
        skopeo_copy(f"oci:{image}:made", f"docker://{host}/test/app:v1")
        with oci.Registry(host, plain_http=True, proxies=proxy) as client:
            pulled = oci.pull(store, f"{host}/test/app:v1", registry=client)
            pushed = oci.push(
                store, pulled.digest, f"{host}/other/app:v2", registry=client, chunk_bytes=1_000_000
            )
        assert pushed.digest == pulled.digest
        assert through.has_passed(f"http://{host}/v2/other/app/manifests/v2")
        theirs = tmp_path / "theirs"
        skopeo_copy(f"docker://{host}/other/app:v2", f"oci:{theirs}")
        ours = {str(info.digest)[7:]: store.read(info.digest) for info in store.walk()}
        assert ours == blobs_of(theirs)


def test_an_image_comes_through_a_tunnel(through: Running, keys: Path, tmp_path: Path) -> None:
    image = Image()
    proxy = oci.Proxies(https=f"http://{USER}:{PASSWORD}@{through.place}")
    with (
        Server(image.answer, tls=context(keys)) as server,
        contentdb.open(tmp_path / "store") as store,
        oci.Registry(server.name, ca=str(keys / "ca.pem"), proxies=proxy) as client,
    ):
        oci.pull(store, f"{server.name}/a", registry=client)
        assert store.read(sha(image.layer)) == image.layer
        assert through.has_passed(f"CONNECT {server.name}")


@pytest.mark.parametrize(
    ("user", "sentence"),
    [("", "wants credentials"), (f"{USER}:wrong@", "refuses the user and password")],
)
def test_who_may_not_open_a_tunnel_is_told_so(through: Running, user: str, sentence: str) -> None:
    proxy = oci.Proxies(https=f"http://{user}{through.place}")
    with (
        oci.Registry("127.0.0.1:9", proxies=proxy) as client,
        pytest.raises(oci.UnreachableError, match=f"http://{through.place} {sentence}"),
    ):
        client.manifest("a/b", "v1")


@pytest.mark.parametrize("user", ["", f"{USER}:wrong@"])
def test_who_may_not_ask_over_http_is_told_the_proxys_name(through: Running, user: str) -> None:
    """To a wrong password this proxy answers 401, as a registry does."""
    proxy = oci.Proxies(http=f"http://{user}{through.place}")
    with (
        oci.Registry("127.0.0.1:9", plain_http=True, proxies=proxy) as client,
        pytest.raises(oci.RegistryError, match=f"the proxy http://{through.place}"),
    ):
        client.manifest("a/b", "v1")


def test_a_server_that_the_proxy_does_not_reach_is_told_with_its_name(through: Running) -> None:
    host = f"127.0.0.1:{free_ports(1)[0]}"
    place = f"http://{USER}:{PASSWORD}@{through.place}"
    with (
        oci.Registry(host, retries=0, proxies=oci.Proxies(https=place)) as client,
        pytest.raises(oci.UnreachableError, match=f"the proxy http://{through.place}"),
    ):
        client.manifest("a/b", "v1")
