"""Over TCP both sides show certificates."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

import contentdb
from contentdb.cli.app import contentdb as command
from contentdb.remote.channel import Credentials
from contentdb.server.daemon import ListenError, Server, Tls
from contentdb.store.connect import connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.real("openssl")


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def authority(folder: Path) -> Path:
    """Make one, and a certificate of each side that it has signed."""
    folder.mkdir()
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    openssl("req", "-x509", *key, "-keyout", folder / "ca.key", "-out", folder / "ca.pem",
            "-subj", "/CN=authority")  # fmt: skip
    for name in ("server", "client"):
        openssl("req", "-x509", *key, "-keyout", folder / f"{name}.key",
                "-out", folder / f"{name}.pem", "-subj", f"/CN={name}",
                "-addext", "subjectAltName=DNS:localhost",
                "-addext", "basicConstraints=critical,CA:FALSE",
                "-CA", folder / "ca.pem", "-CAkey", folder / "ca.key")  # fmt: skip
    return folder


def credentials(client: Path, server: Path) -> Credentials:
    return Credentials(client / "client.key", client / "client.pem", server / "ca.pem")


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    return authority(tmp_path / "ours")


@pytest.fixture
def address(tmp_path: Path, ours: Path) -> Iterator[str]:
    with Server(tmp_path / "store") as server:
        tls = Tls(ours / "server.key", ours / "server.pem", ours / "ca.pem")
        port = server.listen_tls("localhost:0", tls)
        with pytest.raises(ListenError):
            server.listen_tls(f"localhost:{port}", tls)
        server.start()
        yield f"localhost:{port}"


def test_a_client_with_a_certificate_is_served(address: str, ours: Path) -> None:
    with connect(address, credentials=credentials(ours, ours)) as store:
        info = store.add(b"hello")
        assert store.read(info.digest) == b"hello"


def serve_tls(root: Path, keys: Path) -> tuple[subprocess.Popen[str], str]:
    """Start a server as a program; it, and its address."""
    words = [sys.executable, "-m", "contentdb", "--root", str(root), "serve"]
    words += ["--listen", "localhost:0", "--tls-key", str(keys / "server.key")]
    words += ["--tls-cert", str(keys / "server.pem"), "--tls-client-ca", str(keys / "ca.pem")]
    server = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    return server, server.stderr.readline().removeprefix("serving on ").strip()


def test_the_commands_do_it_too(ours: Path, tmp_path: Path) -> None:
    server, address = serve_tls(tmp_path / "store", ours)
    with server:
        words = ["--address", address, "--client-key", str(ours / "client.key")]
        words += ["--client-cert", str(ours / "client.pem"), "--server-ca", str(ours / "ca.pem")]
        told = CliRunner().invoke(command, [*words, "ingest", "-q", "r"], input=b"hello")
        listed = CliRunner().invoke(command, [*words, "ls", "-q"])
        server.terminate()
    assert told.exit_code == 0, told.output
    assert listed.output.strip() == contentdb.Digest.of(b"hello")


@pytest.mark.parametrize("junk", ["server.key", "server.pem", "ca.pem"])
def test_files_that_cannot_be_used_are_named(ours: Path, tmp_path: Path, junk: str) -> None:
    (ours / junk).write_text("junk")
    tls = Tls(ours / "server.key", ours / "server.pem", ours / "ca.pem")
    with Server(tmp_path / "store") as server, pytest.raises(ListenError, match=junk):
        server.listen_tls("localhost:0", tls)


@pytest.mark.parametrize("text", ["localhost:70000", "localhost", ":7000", "::1:7000", "h:-1"])
def test_an_address_that_cannot_be_is_refused(ours: Path, tmp_path: Path, text: str) -> None:
    tls = Tls(ours / "server.key", ours / "server.pem", ours / "ca.pem")
    with Server(tmp_path / "store") as server, pytest.raises(ListenError, match=r"HOST:PORT|65535"):
        server.listen_tls(text, tls)


def test_a_stranger_is_told_what_tls_says(address: str, ours: Path, tmp_path: Path) -> None:
    other = authority(tmp_path / "other")
    no_client = rf"does not accept the certificate {other / 'client.pem'} of this client"
    no_server = r"does not accept the server's certificate: .*issuer certificate"
    for key, told in ((credentials(other, ours), no_client), (credentials(ours, other), no_server)):
        with connect(address, credentials=key) as store:
            with pytest.raises(contentdb.StoreError, match=told):
                store.status("r")
            with pytest.raises(contentdb.StoreError, match=told):
                store.walk()
            with pytest.raises(contentdb.StoreError, match=told):
                store.writer("r")


def test_a_host_that_the_certificate_does_not_name_is_told(address: str, ours: Path) -> None:
    by_number = address.replace("localhost", "127.0.0.1")
    with (
        connect(by_number, credentials=credentials(ours, ours)) as store,
        pytest.raises(contentdb.StoreError, match=r"certificate is not valid for '127\.0\.0\.1'"),
    ):
        store.status("r")


def test_a_server_without_tls_is_told(ours: Path) -> None:
    with socket.create_server(("localhost", 0)) as plain:
        threading.Thread(target=_speak_plain, args=(plain,), daemon=True).start()
        address = f"localhost:{plain.getsockname()[1]}"
        with (
            connect(address, credentials=credentials(ours, ours)) as store,
            pytest.raises(contentdb.StoreError, match="no connection: TLS fails: "),
        ):
            store.status("r")


def _speak_plain(server: socket.socket) -> None:
    with suppress(OSError):  # closed by the test
        while True:
            client, _ = server.accept()
            with client:
                client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def test_no_server_is_no_matter_of_tls(free_port: int, ours: Path) -> None:
    with (
        connect(f"localhost:{free_port}", credentials=credentials(ours, ours)) as store,
        pytest.raises(contentdb.StoreError, match=r"the server does not answer: .*refused"),
    ):
        store.status("r")


@pytest.mark.parametrize("junk", ["client.key", "client.pem", "ca.pem"])
def test_files_of_a_client_that_cannot_be_used_are_named(ours: Path, junk: str) -> None:
    (ours / junk).write_text("junk")
    with pytest.raises(contentdb.InvalidArgumentError, match=junk):
        connect("localhost:1", credentials=credentials(ours, ours))


def test_the_key_of_another_certificate_is_named(ours: Path) -> None:
    wrong = Credentials(ours / "server.key", ours / "client.pem", ours / "ca.pem")
    with pytest.raises(contentdb.InvalidArgumentError, match=r"with the key .*server\.key"):
        connect("localhost:1", credentials=wrong)
