"""Over TLS a registry must show a certificate that is trusted, and may ask for ours."""

import contextlib
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import pytest

import contentdb
from contentdb import oci
from contentdb.errors import InvalidArgumentError
from tests.hostile.server import Image, Reply, Request, Server, reply, sha

pytestmark = pytest.mark.real("openssl")

IMAGE = Image()


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, and a certificate each of a server and of a client."""
    folder = tmp_path_factory.mktemp("keys")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    openssl("req", "-x509", *key, "-keyout", folder / "ca.key", "-out", folder / "ca.pem",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign",
            "-subj", "/CN=authority")  # fmt: skip
    for name in ("server", "client"):
        openssl("req", "-x509", *key, "-keyout", folder / f"{name}.key",
                "-out", folder / f"{name}.pem", "-subj", f"/CN={name}",
                "-addext", "subjectAltName=IP:127.0.0.1,IP:127.0.0.2",
                "-addext", "basicConstraints=critical,CA:FALSE",
                "-CA", folder / "ca.pem", "-CAkey", folder / "ca.key")  # fmt: skip
    return folder


def context(keys: Path, *, asks: ssl.VerifyMode = ssl.CERT_NONE) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(keys / "server.pem", keys / "server.key")
    made.load_verify_locations(keys / "ca.pem")
    made.verify_mode = asks
    return made


def client(name: str, keys: Path, *, cert: bool = False) -> oci.Registry:
    own = (str(keys / "client.pem"), str(keys / "client.key")) if cert else None
    return oci.Registry(name, ca=str(keys / "ca.pem"), cert=own, pause=lambda _s: None)


def test_an_authority_of_ones_own_is_trusted_when_it_is_named(
    keys: Path, store: contentdb.Store
) -> None:
    with (
        Server(IMAGE.answer, tls=context(keys)) as server,
        client(server.name, keys) as registry,
    ):
        oci.pull(store, f"{server.name}/a", registry=registry)
    assert store.read(sha(IMAGE.layer)) == IMAGE.layer


def test_an_unknown_authority_is_told_once_with_what_to_do(
    keys: Path, store: contentdb.Store
) -> None:
    with (
        Server(IMAGE.answer, tls=context(keys)) as server,
        oci.Registry(server.name, pause=lambda _s: pytest.fail("it was tried again")) as registry,
        pytest.raises(oci.UnreachableError, match=r"not trusted.*--ca"),
    ):
        oci.pull(store, f"{server.name}/a", registry=registry)


def test_a_registry_that_speaks_no_tls_is_told_once_with_what_to_do(
    store: contentdb.Store,
) -> None:
    def answer() -> None:
        with listening.accept()[0] as sock:
            sock.recv(65536)
            sock.sendall(reply(400))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=answer)
        server.start()
        name = f"127.0.0.1:{listening.getsockname()[1]}"
        with (
            oci.Registry(name, pause=lambda _s: pytest.fail("it was tried again")) as registry,
            pytest.raises(oci.UnreachableError, match="--plain-http"),
        ):
            oci.pull(store, f"{name}/a", registry=registry)
        server.join()


def test_the_client_certificate_is_shown_to_the_registry_alone(
    keys: Path, store: contentdb.Store
) -> None:
    asking = context(keys, asks=ssl.CERT_REQUIRED)
    elsewhere = context(keys, asks=ssl.CERT_OPTIONAL)
    with contextlib.ExitStack() as stack:
        other = stack.enter_context(
            Server(lambda _r: reply(200, IMAGE.layer), host="127.0.0.2", tls=elsewhere)
        )

        def script(request: Request) -> Reply:
            if request.is_blob(IMAGE.layer):
                return reply(307, Location=f"https://{other.name}/elsewhere")
            return IMAGE.answer(request)

        server = stack.enter_context(Server(script, tls=asking))
        registry = stack.enter_context(client(server.name, keys, cert=True))
        oci.pull(store, f"{server.name}/a", registry=registry)
        assert server.certificates
        assert None not in server.certificates
        assert other.certificates == [None]


def test_a_registry_that_wants_a_certificate_and_gets_none_is_told(
    keys: Path, store: contentdb.Store
) -> None:
    with (
        Server(IMAGE.answer, tls=context(keys, asks=ssl.CERT_REQUIRED)) as server,
        client(server.name, keys) as registry,
        pytest.raises(oci.UnreachableError),
    ):
        oci.pull(store, f"{server.name}/a", registry=registry)


def test_files_that_hold_no_certificates_are_refused_before_anything_is_asked(
    tmp_path: Path,
) -> None:
    rubbish = tmp_path / "rubbish"
    rubbish.write_text("none")
    with pytest.raises(InvalidArgumentError, match="rubbish"):
        oci.Registry("host.example", ca=str(rubbish))
    with pytest.raises(InvalidArgumentError, match="rubbish"):
        oci.Registry("host.example", cert=(str(rubbish), None))


def at(server: Server, **settings: object) -> oci.Endpoint:
    return oci.Endpoint.at(f"https://{server.name}")._replace(**settings)  # type: ignore[arg-type]  # by name


def test_a_place_that_is_not_verified_is_so_alone(keys: Path) -> None:
    tls = context(keys)
    with Server(IMAGE.answer, tls=tls) as other, Server(IMAGE.answer, tls=tls) as server:
        place = at(server, verified=False)
        with oci.Registry(server.name, place=place, pause=lambda _s: None) as registry:
            assert registry.manifest("a/b", "v1").data == IMAGE.manifest
            server.script = lambda one: reply(307, Location=f"https://{other.name}{one.path}")
            with pytest.raises(oci.UnreachableError, match="not trusted"):
                registry.manifest("a/b", "v1")
        assert other.requests == []


def test_a_place_has_its_own_authority(keys: Path) -> None:
    with Server(IMAGE.answer, tls=context(keys)) as server:
        place = at(server, ca=(str(keys / "client.pem"), str(keys / "ca.pem")))
        with oci.Registry(server.name, place=place) as registry:
            assert registry.manifest("a/b", "v1").data == IMAGE.manifest


def test_a_mirror_does_not_see_the_client_certificate(keys: Path) -> None:
    tls = context(keys, asks=ssl.CERT_OPTIONAL)
    lacks = reply(404)
    with Server(lambda _: lacks, tls=tls) as mirror, Server(IMAGE.answer, tls=tls) as server:
        places = oci.Endpoints(at(server), (at(mirror),))
        pair = (str(keys / "client.pem"), str(keys / "client.key"))
        with oci.open_registry(server.name, places, cert=pair, ca=str(keys / "ca.pem")) as registry:
            assert registry.manifest("a/b", "v1").data == IMAGE.manifest
        assert mirror.certificates == [None]
        assert server.certificates[0] is not None
